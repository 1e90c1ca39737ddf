"""The places in which commands of the docs are typed, and how."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.docs.printed import ROOT
from tests.docs.steps import GIVEN, Step
from tests.repositories import Repository

SHELL = re.compile(r"[<>|*$;\n~]")
"""What only a shell understands."""


@dataclass
class Terminal:
    """Somebody who types commands, in a folder at first."""

    repository: Repository
    given: Mapping[str, str] = field(default_factory=dict)
    """What stands in the places that a page leaves to its reader, beside ``GIVEN``."""
    environment: dict[str, str] = field(default_factory=dict)
    is_new: bool = False
    """Whether every command is a new process, as those have to be that read the environment when they import a library."""

    def type(self, step: Step) -> str:
        """Types a command, which has to end and to print as the step says; returns what it prints."""
        command = self._filled(step.command)
        words = shlex.split(command) if not SHELL.search(command) else []
        if words[:1] == ["cd"]:
            self.repository = Repository(self.repository.folder / words[1])
            return ""
        if words[:1] == ["export"]:
            name, _, value = words[1].partition("=")
            self.environment[name] = value
            return ""
        if not words or step.typed or self.is_new:
            words = [
                "bash",
                "-c",
                f"{command} <<< {shlex.quote(step.typed.removesuffix(chr(10)))}" if step.typed else command,
            ]
        printed = self.repository.run(*words, code=step.code, **self.environment)
        assert re.search(step.says, printed, re.MULTILINE), f"{command} printed\n{printed}"
        return printed

    def type_all(self, steps: Iterable[Step]) -> None:
        """Types one command after the other."""
        for step in steps:
            self.type(step)

    def _filled(self, command: str) -> str:
        for name, value in {**GIVEN, **self.given}.items():
            command = re.sub(rf"\b{re.escape(name)}\b", value, command)
        return command


def clone(folder: Path, locks: bool) -> Repository:
    """Copies all files of the repository as they stand, those that are new but ignored excepted, and commits them."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and (locks or not name.endswith("dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    found = Repository(folder)
    found.run("git", "init", "-q", "-b", "main")
    found.commit("As it stands")
    return found


def where_the_demo_ran() -> Path:
    """Returns the repository whose DVC cache holds what the demo left: this one or, of a worktree, its main one."""
    git = ["git", "rev-parse", "--path-format=absolute", "--git-common-dir"]
    common = subprocess.run(git, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    return next((place for place in (ROOT, Path(common).parent) if (place / ".dvc/cache/files").is_dir()), ROOT)


def demo(folder: Path) -> None:
    """Lays out the demo as it ran."""
    origin = where_the_demo_ran()
    repository = clone(folder, locks=True)
    (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {origin / '.dvc/cache'}\n")
    repository.run("dvc", "checkout", "--quiet", "--allow-missing")
    if (kept := origin / ".glossa/gguf").is_dir():  # or the model of the demo would be unpacked again
        (folder / ".glossa").mkdir(exist_ok=True)
        shutil.copytree(kept, folder / ".glossa/gguf", copy_function=_linked)


def is_there(folder: Path) -> bool:
    """Whether the outputs of the demo could be laid out."""
    return (folder / "results/report/index.html").is_file() and (folder / "data/scores").is_dir()


def missing() -> None:
    """Skips, or fails where everything is to be tested, as the demo has not run."""
    why = "the demo has not run here, or DVC's cache lacks what it left: run dvc repro"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copyfile(source, target)
