"""Clones of Glossa at some commit in which `dvc repro` is run and timed, by real commands or by stand-ins for them."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

HERE = Path(__file__).resolve().parent
MINE = ("DVC_", "GIT_", "GLOSSA_")
"""What environment variables begin with that are of whoever runs this."""

STAND_IN = """\
#!/bin/sh
# Stands in for glossa: every stage writes four small files where its output belongs; `code` keeps what `glossa wire` has written.
put() { mkdir -p "$1"; for name in a b c meta; do echo "$1 $name" > "$1/$name"; done; }
case $1 in
code) ;;
tokenize) put data/tokens ;;
cache) put "data/latents/$2.zarr" ;;
sample) put "data/examples/$2" ;;
explain) put "data/explanations/$2/$3" ;;
score) put "data/scores/$2/$3/$4" ;;
compare) put data/similarity ;;
report) for name in plots report dataset metrics; do put results/$name; done; echo '{}' > results/metrics.json ;;
*) exit 1 ;;
esac
"""
REAL = """\
#!/bin/sh
exec "$PYTHON" -m stages "$@"
"""
TRIVIAL = "stages: {one: {cmd: 'echo 1 > one', outs: [one]}}\n"

PINS = ("fonttools==4.68.0", "matplotlib==3.11.2")
"""Packages in the corpus of the demo that both layouts knew, which the new one has no other use for and so does not pin."""

RAN = re.compile(r"^Running stage '(.+)':$", re.MULTILINE)
SKIPPED = re.compile(r"^Stage '(.+)' didn't change, skipping$", re.MULTILINE)


@dataclass(frozen=True)
class Took:
    """What a command took, in seconds."""

    wall: float
    everything: float
    """Processor time of it and of all that it started."""
    own: float
    """Processor time of DVC's process alone; of another command, the same as ``everything``."""
    printed: str

    @property
    def ran(self) -> list[str]:
        """The stages that DVC ran."""
        return RAN.findall(self.printed)

    @property
    def skipped(self) -> list[str]:
        """The stages that DVC found up to date."""
        return SKIPPED.findall(self.printed)


class Project:
    """A folder in which DVC runs, with a state and a configuration of its own beside it."""

    def __init__(self, folder: Path, glossa: str = STAND_IN) -> None:
        self.folder = folder
        self.beside = folder.with_name(f"{folder.name}-beside")
        (self.beside / "bin").mkdir(parents=True)
        (shim := self.beside / "bin/glossa").write_text(glossa, encoding="utf-8")
        shim.chmod(0o755)
        (self.beside / "config").write_text("[core]\n    check_update = false\n", encoding="utf-8")

    @classmethod
    def trivial(cls, folder: Path) -> Project:
        """A project with one stage, which shows what DVC costs whatever it is used for."""
        folder.mkdir(parents=True)
        project = cls(folder)
        project.timed("git", "init", "-q")
        project.timed(sys.executable, "-m", "dvc", "init", "-q")
        (folder / "dvc.yaml").write_text(TRIVIAL, encoding="utf-8")
        return project

    @classmethod
    def cloned(cls, source: Path, commit: str, params: str, folder: Path, glossa: str = STAND_IN) -> Project:
        """Glossa as of ``commit``, wired for ``params``, in which nothing has run."""
        git("clone", "-q", "--shared", "--no-checkout", str(source), str(folder))
        git("-C", str(folder), "-c", "core.autocrlf=false", "checkout", "-q", "--detach", commit)
        project = cls(folder, glossa)
        (folder / "params.yaml").write_text(params, encoding="utf-8")
        pinned = (folder / "constraints.txt").read_text(encoding="utf-8").splitlines()
        (folder / "constraints.txt").write_text(
            "\n".join([*pinned, *(pin for pin in PINS if pin not in pinned), ""]), encoding="utf-8"
        )
        for lock in project.locks():
            lock.unlink()
        project.glossa("wire")
        return project

    def locks(self) -> list[Path]:
        """The lock files that there are."""
        return [path for path in (self.folder / "dvc.lock", *self.folder.glob("pipelines/*/dvc.lock")) if path.exists()]

    def lines(self, *names: str) -> int:
        """How many lines those of the named files have that there are."""
        paths = [path for path in map(self.folder.joinpath, names) if path.exists()]
        return sum(len(path.read_bytes().splitlines()) for path in paths)

    def glossa(self, *words: str) -> Took:
        """Runs a real command of Glossa."""
        return self.timed(sys.executable, "-m", "stages", *words)

    def repro(self) -> Took:
        """Runs `dvc repro`."""
        file = self.beside / "own"
        took = self.timed(sys.executable, str(HERE / "pipeline_dvc.py"), str(file), "repro")
        return Took(took.wall, took.everything, float(file.read_text(encoding="utf-8")), took.printed)

    def timed(self, *command: str) -> Took:
        """Runs a command to its end.

        Raises:
            ClickException: it failed; the message ends with what it printed last.
        """
        log, before, begun = self.beside / "log", _children(), time.perf_counter()
        with log.open("wb") as file:
            code = subprocess.run(
                command, cwd=self.folder, env=self._environment(), stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
        wall, everything = time.perf_counter() - begun, _children() - before
        printed = log.read_text(encoding="utf-8", errors="replace")
        if code:
            raise click.ClickException(
                f"{' '.join(command)} in {self.folder} ended with {code}: {printed[-2000:].strip()}"
            )
        return Took(wall, everything, everything, printed)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(MINE)}
        return kept | {
            "PATH": f"{self.beside / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}",
            "PYTHON": sys.executable,
            "PYTHONPATH": str(self.folder),
            "SHELL": "/bin/sh",
            "HF_HUB_OFFLINE": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.beside / "cache"),
            "DVC_GLOBAL_CONFIG_DIR": str(self.beside),
            "DVC_SYSTEM_CONFIG_DIR": str(self.beside / "none"),
        }


def git(*words: str) -> str:
    """Runs git; returns what it printed."""
    return subprocess.run(["git", *words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
