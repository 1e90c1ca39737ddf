"""What scoring and explaining all latents of a sparse coder costs beside the language model, before and now.

    python benchmarks/flow.py                             # 16,384 latents: half an hour on two cores
    python benchmarks/flow.py --latents 512 --few 256     # to see that it works
    python benchmarks/flow.py --old HEAD detection        # beside another commit: are the bytes the same?
    python benchmarks/flow.py --profile detection --latents 512

One made-up coder: of every latent 40 train, 100 test and 100 silent windows of 32 tokens, judged five at a time by its own and by
another's explanation. A judge in the process answers at once, so that all else is measured; then a server on this machine
answers some latents' questions. Both commits read the same files and run the same stages, each in a process of its own: seconds
of processor time and of the clock, start-up included, and the most memory that the process and those it started held at once.
Seconds depend on the machine and on what else it does, ratios little.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple

import click
from flow_made import CODER, EXPLAINER, EXPLAINERS, SCORERS
from pipeline_clone import MINE, git

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent
OLD = "d8882cb"
"""The commit before stages streamed."""

STAGES = (*SCORERS, *EXPLAINERS)
LOOK_SECONDS = 1.0
"""Between two looks at the memory."""

MUST_PROCESSOR, MUST_WALL, MUST_MB, MUST_GROWTH = 0.25, 0.14, 600, 1.1
MUST_ASKED = 0.45
MUST_MS = {"detection": 1.5, "fuzzing": 3, "intruder": 2, "simulation": 4, "prompt": 1.5, "pattern": 4}
"""Milliseconds of processor time a latent, where the aims were set."""


class Took(NamedTuple):
    """What a stage took."""

    processor: float
    wall: float
    peak_mb: float
    digest: str
    """Of the tables that it wrote."""


class Case(NamedTuple):
    """A project with so many latents, and the Glossas that can run in it."""

    folder: Path
    latents: int
    code: dict[str, Path]
    workers: int

    def run(self, which: str, *words: str, glossa: dict[str, str] | None = None) -> Took:
        """Has ``flow_made`` do what ``words`` say with the old or the new Glossa.

        Raises:
            ClickException: it failed.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith(MINE)}
        path = os.pathsep.join([str(self.code[which]), str(HERE)])
        environment |= {"PYTHONPATH": path, "GLOSSA_WORKERS": str(self.workers), "TQDM_DISABLE": "1", **(glossa or {})}
        log, begun = self.folder / "log", time.perf_counter()
        with log.open("wb") as file:
            command = [sys.executable, str(HERE / "flow_made.py"), *words]
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=file, stderr=file)
            peak, status, processor = _watched(process.pid)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall, printed = time.perf_counter() - begun, log.read_text(encoding="utf-8", errors="replace")
        if process.returncode:
            raise click.ClickException(f"{which} {' '.join(words)} ended with {process.returncode}: {printed[-3000:]}")
        return Took(processor, wall, max(peak / 1e6, float(printed.split()[-1])), "")

    def stage(self, which: str, name: str, ask: str | None = None) -> Took:
        """Runs a stage, which leaves nothing behind but the hash of what it wrote; it asks the server at ``ask``, if any."""
        home = self.folder / f"home-{which}"
        (self.folder / "runtime.yaml").unlink(missing_ok=True)
        if ask:
            shutil.rmtree(home, ignore_errors=True)
            endpoints = {"lab": {"base_url": ask, "concurrency": 64}}
            (self.folder / "runtime.yaml").write_text(json.dumps({"endpoints": endpoints}), encoding="utf-8")
        out = self.out(name)
        shutil.rmtree(out, ignore_errors=True)
        took = self.run(which, "ask" if ask else "stage", name, glossa={"GLOSSA_HOME": str(home)})
        found = hashlib.sha256()
        for file in sorted(out.glob("*.parquet")):
            found.update(f"{file.name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
        shutil.rmtree(out)
        return took._replace(digest=found.hexdigest())

    def out(self, name: str) -> Path:
        """Where a stage writes."""
        data = self.folder / "data"
        if name in EXPLAINERS:
            return data / "explanations" / CODER / name
        return data / "scores" / CODER / ("latent" if name == "intruder" else EXPLAINER) / name


@click.command()
@click.argument("stages", nargs=-1, metavar=f"[{'|'.join(STAGES)}]...")
@click.option("--latents", default=16_384, show_default=True)
@click.option("--few", default=4_096, show_default=True, help="With how many the memory is compared; 0 for no comparison.")  # fmt: skip
@click.option("--asked", default=0, help="Of how many latents a server on this machine is asked about as well.")
@click.option("--workers", default=2, show_default=True, help="What runtime.yaml says.")
@click.option("--old", default=OLD, show_default=True, help="The commit that the current checkout is compared with.")
@click.option("--profile", is_flag=True, help="Print where the current checkout spends its time instead.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps what is made, and finds it there the next time.")
def main(
    stages: tuple[str, ...],
    latents: int,
    few: int,
    asked: int,
    workers: int,
    old: str,
    profile: bool,
    folder: Path | None,
) -> None:
    """Measures STAGES, detection and fuzzing unless they are named."""
    stages = stages or ("detection", "fuzzing")
    if unknown := set(stages) - set(STAGES):
        raise click.BadParameter(f"expected some of {', '.join(STAGES)}, found {min(unknown)}")
    click.echo(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory(prefix="glossa-") as temporary:
        where = (folder or Path(temporary)).resolve()
        code = {"new": SOURCE, "old": _cloned(old, Path(temporary) / "old")}
        if profile:
            _profile(_case(where, latents, code, 1), stages)
            return
        case = _case(where, latents, code, workers)
        click.echo("| | before | now | now / before | must | |\n|---|---|---|---|---|---|")
        for name in stages:
            _beside(name, case, _case(where, few, code, workers) if few and few != latents else None)
        if asked:
            with served() as url:
                for name in stages:
                    _asked(name, _case(where, asked, code, workers), url)


def _beside(name: str, case: Case, few: Case | None) -> None:
    """Prints what a stage takes before and now."""
    before, now = (case.stage(which, name) for which in ("old", "new"))
    of = f"{name}, {case.latents:,} latents"
    _row(f"{of}: processor", before.processor, now.processor, "s", MUST_PROCESSOR)
    _row(f"{of}: clock", before.wall, now.wall, "s", MUST_WALL)
    each = [took.processor / case.latents * 1e3 for took in (before, now)]
    _row(f"{name}: processor a latent, start-up included", *each, f"ms (aim {MUST_MS[name]})")
    _row(f"{of}: most memory", before.peak_mb, now.peak_mb, "MB", most=MUST_MB)
    if few:
        small = few.stage("new", name)
        growth = now.peak_mb / small.peak_mb
        verdict = "reached" if growth <= MUST_GROWTH else "MISSED"
        click.echo(
            f"| {name}: memory from {few.latents:,} to {case.latents:,} latents | | {small.peak_mb:.0f} to {now.peak_mb:.0f} MB "
            f"| {growth:.2f} | ≤ {MUST_GROWTH} | {verdict} |"
        )
    same = "the same" if before.digest == now.digest else "others"
    click.echo(f"| {name}: bytes of the tables | | {same} | | | |")


def _asked(name: str, case: Case, url: str) -> None:
    """Prints what a stage takes through the client."""
    before, now = (case.stage(which, name, url) for which in ("old", "new"))
    of = f"{name} through the client, {case.latents:,} latents"
    _row(f"{of}: processor", before.processor, now.processor, "s", MUST_ASKED)
    _row(f"{of}: clock", before.wall, now.wall, "s")


def _row(what: str, before: float, now: float, unit: str, must: float | None = None, most: float | None = None) -> None:
    ratio = now / before
    said, reached = ("", None) if must is None else (f"≤ {must}", ratio <= must)
    if most is not None:
        said, reached = f"≤ {most} {unit}", now <= most
    verdict = "" if reached is None else "reached" if reached else "MISSED"
    click.echo(f"| {what} | {before:.4g} {unit} | {now:.4g} {unit} | {ratio:.3f} | {said} | {verdict} |")


def _profile(case: Case, stages: tuple[str, ...]) -> None:
    for name in stages:
        shutil.rmtree(case.out(name), ignore_errors=True)
        took = case.run("new", "profile", name)
        click.echo((case.folder / "log").read_text(encoding="utf-8"))
        click.echo(f"{took.processor / case.latents * 1e3:.2f} ms a latent with the profiler, start-up included")


def _case(folder: Path, latents: int, code: dict[str, Path], workers: int) -> Case:
    """A project with so many latents, made by the old Glossa, whose files the new one reads as well."""
    case = Case(folder / str(latents), latents, code, workers)
    if not (case.folder / ".made").exists():
        case.folder.mkdir(parents=True, exist_ok=True)
        maker = case._replace(code={"old": code["old"]})
        maker.run("old", "project", str(latents))
        (case.folder / ".made").touch()
    return case


def _cloned(commit: str, folder: Path) -> Path:
    """The code of a commit of this repository.

    Raises:
        ClickException: it is not there.
    """
    try:
        name = git("-C", str(SOURCE), "rev-parse", "--verify", "-q", f"{commit}^{{commit}}")
        git("clone", "-q", "--shared", "--no-checkout", str(SOURCE), str(folder))
        git("-C", str(folder), "-c", "core.autocrlf=false", "checkout", "-q", "--detach", name)
    except (OSError, subprocess.CalledProcessError) as error:
        raise click.ClickException(
            f"expected the commit {commit} in {SOURCE}; clone it with its history, or run git fetch --unshallow"
        ) from error
    return folder


@contextmanager
def served() -> Iterator[str]:
    """A server in a process of its own that answers every question at once; yields its address."""
    process = subprocess.Popen([sys.executable, str(HERE / "flow_server.py")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


def _watched(pid: int) -> tuple[int, int, float]:
    """Waits for a process.

    Returns the most bytes that it and its children held at once, as far as was seen, how it ended, and seconds of processor time.
    """
    peak = 0
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return peak, status, usage.ru_utime + usage.ru_stime
        peak = max(peak, _held(pid))
        time.sleep(LOOK_SECONDS)


def _held(pid: int) -> int:
    """Bytes of memory of a process and of all below it, where what they share counts once; 0 where the system does not tell."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    own = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    return own + sum(_held(int(child)) for child in children)


if __name__ == "__main__":
    main()
