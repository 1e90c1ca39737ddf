"""Git repositories in which `git`, `dvc` and `glossa` run as somebody's on a machine of their own."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests import warm

OTHERS = ("AWS_", "DVC_", "GIT_", "GLOSSA_")
"""What environment variables begin with that are of whoever runs the tests."""


@dataclass(frozen=True)
class Repository:
    """The repository in ``folder``; what its owner's programs keep elsewhere lies beside it."""

    folder: Path

    @classmethod
    def empty(cls, folder: Path) -> Repository:
        """A new one, in which DVC has been set up."""
        folder.mkdir(parents=True)
        repository = cls(folder)
        repository.run("git", "init", "-q", "-b", "main")
        repository.run("dvc", "init", "-q")
        return repository

    @classmethod
    def clone(cls, bare: Path, folder: Path, revision: str) -> Repository:
        """A clone in which nothing was pulled."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        git = ["git", "-c", "advice.detachedHead=false", "clone", "-q", "--branch", revision, str(bare), str(folder)]
        subprocess.run(git, check=True)
        return cls(folder)

    def run(self, *command: str, code: int = 0, **environment: str) -> str:
        """Runs a command that ends with ``code``; returns all that it printed."""
        everything = {**self._environment(), **environment}
        if command[0] in ("dvc", "glossa"):
            done = warm.run(command, self.folder, everything, together=True)
        else:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=everything,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        assert done.returncode == code, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-4000:]}"
        return done.stdout

    def repro(self, *options: str) -> list[str]:
        """Runs ``dvc repro``; returns the commands of the stages that it ran, but for ``code``, which only looks what others have to do."""
        ran = re.findall(r"^> glossa (.+)$", self.run("dvc", "repro", *options), re.MULTILINE)
        return [command for command in ran if command != "code"]

    def commit(self, message: str) -> None:
        """Commits everything that git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "-m", message)

    def read(self, folder: str) -> dict[str, bytes]:
        """The files below a folder."""
        root = self.folder / folder
        return {str(file.relative_to(root)): file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file()}

    def replace(self, name: str, old: str, new: str) -> None:
        """Edits a file in which ``old`` stands once."""
        text = (self.folder / name).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        (self.folder / name).write_text(text.replace(old, new))

    def _environment(self) -> dict[str, str]:
        beside = self.folder.with_name(f"{self.folder.name}-state")
        (aws := beside / "aws").parent.mkdir(exist_ok=True)
        aws.touch()
        dvc = ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR")
        mine = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
        return mine | {
            "PATH": warm.path(),
            "PYTHONPATH": str(self.folder),
            "HF_HUB_OFFLINE": "1",
            "DVC_NO_ANALYTICS": "1",
            **{name: str(beside / name.lower()) for name in dvc},
            **{f"GIT_{who}_NAME": "A Name" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "a@example.org" for who in ("AUTHOR", "COMMITTER")},
            "AWS_CONFIG_FILE": str(aws),
            "AWS_SHARED_CREDENTIALS_FILE": str(aws),
            "AWS_EC2_METADATA_DISABLED": "true",
        }
