"""What DVC itself costs under Glossa, beside the layout in which dvc.yaml held the stages of all sparse coders.

    python benchmarks/pipeline.py                         # 20 minutes on two cores
    python benchmarks/pipeline.py --full --whole          # the largest old pipeline too, and the demo for real: an hour
    python benchmarks/pipeline.py --json FILE new:42      # one run; the table also has what FILE holds of earlier ones

Both layouts are cloned from this repository, which needs its history, and wired for the same params: benchmarks/pipeline_demo.yaml, or
so many coders with one explainer and three scorers. `glossa` is a stand-in that writes small files of the right names, so what is
timed is DVC: seconds of processor time of its process alone. Seconds depend on the machine and on what else it does, ratios little.
`--whole` wants `pip install matplotlib==3.11.2 fonttools==4.68.0`: the old layout draws with it, and the corpus of both is documentation of these, too.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import click
import numpy as np
from pipeline_clone import REAL, STAND_IN, Project, Took, git

SOURCE = Path(__file__).resolve().parents[1]
OLD = "d8882cb"
"""The last commit of the old layout."""

SCORERS = ("detection", "fuzzing", "intruder")
SMALL, WIDE = 10, 42
FITTED = (5, SMALL, 15)
"""Coders of the old pipelines from which the cost of one with ``WIDE`` coders is told."""

DEMO = ("old:demo", "new:demo")
RUNS = ("trivial", *DEMO, *(f"old:{coders}" for coders in FITTED), f"new:{SMALL}", f"new:{WIDE}")
FULL, WHOLE = (f"old:{WIDE}",), ("old:whole", "new:whole")
QUICK = ("trivial", "old:2", "new:2", "new:4")


@dataclass(frozen=True)
class Found:
    """What was measured in one run; times in seconds."""

    stages: int
    repro: float
    """Processor time of DVC alone, everything being new; of a whole run, with all that it started."""
    nothing: float | None = None
    """The least of several with nothing to do."""
    wall: float | None = None
    lock_lines: int = 0
    yaml_lines: int = 0
    code: float | None = None
    """Processor time of the real `glossa code`, where there is one."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    old: str
    new: str
    ratio: str = ""
    must: str = ""
    reached: bool | None = None


@click.command()
@click.argument("runs", nargs=-1, metavar="[trivial|old:SIZE|new:SIZE]...")
@click.option("--full", is_flag=True, help=f"Run the old pipeline of {WIDE} coders instead of telling it from smaller ones.")  # fmt: skip
@click.option("--whole", is_flag=True, help="Run the demo with its real commands, too.")
@click.option("--quick", is_flag=True, help="Only 2 and 4 coders, to see that this works.")
@click.option("--new", "commit", default="HEAD", show_default=True, help="The commit that is compared with the old one.")  # fmt: skip
@click.option("--repeat", type=click.IntRange(min=1), default=3, show_default=True, help="How often nothing is done.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Takes what was measured before, and keeps all.")
def main(
    runs: tuple[str, ...], full: bool, whole: bool, quick: bool, commit: str, repeat: int, file: Path | None
) -> None:
    """Measures RUNS, or what the table needs; SIZE is demo, whole (its real commands) or a number of coders."""
    runs = runs or (QUICK if quick else (*RUNS, *(FULL if full else ()), *(WHOLE if whole else ())))
    for name in runs:
        if not re.fullmatch(r"trivial|(old|new):(demo|whole|[1-9]\d*)", name):
            raise click.BadParameter(f"expected trivial, or old or new with demo, whole or a number, found {name!r}")
    commits = {"old": _commit(OLD), "new": _commit(commit)}
    found: dict[str, Found] = {}
    if file and file.exists():
        found = {name: Found(**one) for name, one in json.loads(file.read_text(encoding="utf-8"))["runs"].items()}
    click.echo(f"{_machine()}; old {commits['old'][:7]}, new {commits['new'][:7]}")
    for name in runs:
        with tempfile.TemporaryDirectory(prefix="glossa-") as folder:
            found[name] = measure(name, commits, Path(folder), repeat)
        click.echo(f"{name}: {_said(found[name])}")
        if file:
            kept = {"machine": _machine(), "commits": commits, "runs": {key: asdict(one) for key, one in found.items()}}
            kept["table"] = [asdict(row) for row in table(found)]
            file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    click.echo("\n| processor time of DVC | old | new | new / old | must | |\n|---|---|---|---|---|---|")
    for row in table(found):
        verdict = "" if row.reached is None else "reached" if row.reached else "MISSED"
        click.echo(f"| {row.what} | {row.old} | {row.new} | {row.ratio} | {row.must} | {verdict} |")


def measure(name: str, commits: dict[str, str], folder: Path, repeat: int) -> Found:
    """Runs what ``name`` says in ``folder``.

    Raises:
        ClickException: a command failed, or DVC ran other stages than there are.
    """
    if name == "trivial":
        project = Project.trivial(folder / "trivial")
        took = project.repro()
        return Found(len(took.ran), took.own, _nothing(project, took, repeat))
    layout, _, size = name.partition(":")
    demo = Path(__file__).with_name("pipeline_demo.yaml").read_text(encoding="utf-8")
    params = wide(demo, int(size)) if size.isdecimal() else demo
    glossa = REAL if size == "whole" else STAND_IN
    if _has(commits[layout], "tests/toy"):
        params = params.replace("demo/", "tests/toy/")
    project = Project.cloned(SOURCE, commits[layout], params, folder / "glossa", glossa)
    has_code = (project.folder / "stages/code.py").exists()
    code = project.glossa("code").everything if has_code else None
    took = project.repro()
    return Found(
        len(took.ran),
        took.everything if size == "whole" else took.own,
        _nothing(project, took, repeat),
        took.wall if size == "whole" else None,
        project.lines(*(str(path.relative_to(project.folder)) for path in project.locks())),
        project.lines("dvc.yaml", "stages/wiring/coder.yaml"),
        code,
    )


def _has(commit: str, path: str) -> bool:
    """Whether a commit of this repository has a file or folder."""
    return bool(subprocess.run(["git", "-C", SOURCE, "ls-tree", commit, path], capture_output=True, check=True).stdout)


def _nothing(project: Project, first: Took, repeat: int) -> float:
    again = [project.repro() for _ in range(repeat)]
    for took in again:
        if took.ran or sorted(took.skipped) != sorted(first.ran):
            raise click.ClickException(f"expected {len(first.ran)} stages to be up to date, but {took.ran} ran again")
    return min(took.own for took in again)


def wide(params: str, coders: int) -> str:
    """Returns params.yaml with so many coders, which share the weights of those that are there, and the scorers ``SCORERS``."""
    there = [line.partition(":")[2].strip() for line in _section(params, "coders")]
    scorers = [line for line in _section(params, "scorers") if line.split(":")[0].strip() in SCORERS]
    named = [f"  c{number:02d}: {there[number % len(there)]}" for number in range(coders)]
    for name, lines in (("coders", named), ("scorers", scorers)):
        params = params.replace("\n".join(_section(params, name)), "\n".join(lines))
    return params


def _section(params: str, name: str) -> list[str]:
    """The lines of the entries of a section."""
    lines = params.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name}:")) + 1
    end = next((number for number in range(start, len(lines)) if not lines[number].startswith(" ")), len(lines))
    return lines[start:end]


def table(found: dict[str, Found]) -> list[Row]:
    """Returns the lines for which there is what they need."""
    rows = [_beside(f"{size} coders", found, size) for size in _sizes(found) if size != str(WIDE)]
    if all(name in found for name in DEMO):
        rows.insert(0, _beside("the demo", found, "demo", 0.25))
    if (new := found.get(f"new:{WIDE}")) and (old := found.get(f"old:{WIDE}")):
        rows.append(_beside(f"{WIDE} coders", found, str(WIDE), 0.05))
    elif new and (told := fitted(found, new.stages - 1)):
        ratio = new.repro / told
        rows.append(
            Row(
                f"{WIDE} coders ({new.stages} stages), the old told from smaller ones",
                f"≈ {told:.0f} s",
                f"{new.repro:.1f} s",
                f"{ratio:.3f}",
                "≤ 0.05",
                ratio <= 0.05,
            )
        )
    if (few := found.get(f"new:{SMALL}")) and new:
        growth = new.repro / few.repro
        rows.append(Row(f"from {SMALL} to {WIDE} coders", "", f"{growth:.1f}-fold", "", "≤ 5-fold", growth <= 5))
    for name, most in (("demo", 1.5), (str(WIDE), 6)):
        if one := found.get(f"new:{name}"):
            old = found.get(f"old:{name}")
            what = "the demo" if name == "demo" else f"{name} coders"
            said = f"{old.nothing:.2f} s" if old else ""
            rows.append(
                Row(f"nothing to do: {what}", said, f"{one.nothing:.2f} s", "", f"≤ {most} s", one.nothing <= most)
            )
    if trivial := found.get("trivial"):
        rows.append(Row("nothing to do: one trivial stage, the floor", "", f"{trivial.nothing:.2f} s"))
    for name in (name for name in ("demo", str(SMALL), str(WIDE), "4") if f"new:{name}" in found):
        rows += _sizes_of_files(name, found)
    if all(name in found for name in WHOLE):
        before, after = (found[name] for name in WHOLE)
        for what, a, b in (("wall", before.wall, after.wall), ("processor", before.repro, after.repro)):
            rows.append(
                Row(
                    f"the demo with its real commands, {what}",
                    f"{a:.0f} s",
                    f"{b:.0f} s",
                    f"{b / a:.2f}",
                    "≤ 0.7",
                    b <= 0.7 * a,
                )
            )
    return rows


def fitted(found: dict[str, Found], stages: int) -> float | None:
    """Returns what so many stages would have cost in the old layout, by a parabola through those measured; relative errors count."""
    known = [one for name, one in found.items() if re.fullmatch(r"old:\d+|trivial", name)]
    if len(known) < 4:
        return None
    n, cost = (np.array([getattr(one, field) for one in known]) for field in ("stages", "repro"))
    return float(np.polyval(np.polyfit(n, cost, 2, w=1 / cost), stages))


def _beside(what: str, found: dict[str, Found], size: str, most: float | None = None) -> Row:
    old, new = found[f"old:{size}"], found[f"new:{size}"]
    ratio = new.repro / old.repro
    must, reached = ("", None) if most is None else (f"≤ {most}", ratio <= most)
    return Row(
        f"{what} ({new.stages} stages)", f"{old.repro:.1f} s", f"{new.repro:.1f} s", f"{ratio:.3f}", must, reached
    )


def _sizes(found: dict[str, Found]) -> list[str]:
    """The numbers of coders that both layouts were run with."""
    sizes = {name.partition(":")[2] for name in found if name.startswith("new:") and f"old{name[3:]}" in found}
    return sorted(filter(str.isdecimal, sizes), key=int)


def _sizes_of_files(size: str, found: dict[str, Found]) -> list[Row]:
    old, new = found.get(f"old:{size}"), found[f"new:{size}"]
    what = "the demo" if size == "demo" else f"{size} coders"
    rows = [
        Row(
            f"lines of lock files a stage: {what}",
            f"{old.lock_lines / old.stages:.1f}" if old else "",
            f"{new.lock_lines / new.stages:.1f}",
            "",
            "≤ 25",
            new.lock_lines <= 25 * new.stages,
        ),
        Row(
            f"lines of dvc.yaml and coder.yaml: {what}",
            str(old.yaml_lines) if old else "",
            str(new.yaml_lines),
        ),
    ]
    return rows + ([Row(f"the real glossa code: {what}", "", f"{new.code:.1f} s")] if new.code is not None else [])


def _commit(revision: str) -> str:
    try:
        return git("-C", str(SOURCE), "rev-parse", "--verify", "-q", f"{revision}^{{commit}}")
    except (OSError, subprocess.CalledProcessError) as error:
        raise click.ClickException(
            f"expected the commit {revision} in {SOURCE}; clone it with its history, or run git fetch --unshallow"
        ) from error


def _machine() -> str:
    from dvc import __version__
    from ruamel.yaml import YAML

    parser = "libyaml" if YAML(typ="safe").Parser.__name__ == "CParser" else "pure Python"
    load = f"{os.getloadavg()[0]:.1f}"
    return (
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}, DVC {__version__}, "
        f"YAML read by {parser}"
    )


def _said(one: Found) -> str:
    extra = [f"{one.wall:.0f} s wall"] if one.wall is not None else []
    extra += [f"nothing to do {one.nothing:.2f} s"] if one.nothing is not None else []
    return ", ".join([f"{one.stages} stages, {one.repro:.1f} s", *extra])


if __name__ == "__main__":
    main()
