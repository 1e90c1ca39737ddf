"""The pipeline, killed with SIGKILL again and again: ``python -m benchmarks.kills [--kills 60] [--seed 0]``.

`dvc repro` runs on the toy, cut down, with a scripted server as explainer and judge: once undisturbed, and once killed at moments drawn at
random, each time either DVC with all that it started, or DVC alone, or the command of the stage alone, and begun anew; the first and the last stage also by themselves. Where a kill has left
dvc.lock unreadable, what is left of it is what `glossa wire` makes of it. Prints where the kills hit, how many outputs differ in the end (there must be none), and how
many answers were paid twice that no kill had cut off (none).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import psutil
from ruamel.yaml import YAML

from benchmarks.askers import served
from stages.llm.journal.store import Journal
from tests.test_end_to_end import BIN, clone, outs

HOW = ("all", "DVC alone", "stage alone")
LONGEST = 8.0
"""Seconds from the beginning of a stage to a kill at most; most take less."""
BEGINS = b"Running stage "
LASTS = {"code": 1.0, "report": 6.0}
"""The first and the last stage, which seldom run while the others are killed, and about how long they take."""


class Came(NamedTuple):
    """What a killed run came to."""

    kills: Counter[tuple[str, str]]
    """By what ran, and what was killed."""
    locks: int
    """Kills that left a dvc.lock which can't be read."""
    differ: list[str]
    """Outputs that are not those of the undisturbed run."""
    twice: int
    """Calls beyond the first for a question, less those that a kill may have cut off."""
    cut: int
    """Calls that were under way at a kill."""


def counts(url: str) -> dict[str, int]:
    """Returns how often the server got each body."""
    with urllib.request.urlopen(f"{url}/counts") as response:
        return json.load(response)["counts"]


def project(folder: Path, url: str) -> Path:
    """The toy, cut down, explained and judged by the server as well."""
    folder.mkdir()
    clone(folder)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["models"] |= {"lab": {"provider": "openai", "endpoint": "lab", "model": "scripted"}}
    params["explainers"] |= {"default": {"kind": "default", "model": "lab"}}
    params["scorers"] |= {"detection": {"kind": "detection", "model": "lab", "latents": 4}}
    yaml.dump(params, folder / "params.yaml")
    endpoint = {"base_url": f"{url}/v1", "concurrency": 4}
    (folder / "runtime.yaml").write_text(json.dumps({"endpoints": {"lab": endpoint}}), encoding="utf-8")
    glossa(folder, "wire")
    return folder


def environment(folder: Path) -> dict[str, str]:
    """That of a user in ``folder``."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("GLOSSA_", "DVC_"))}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**mine, "PATH": path, "PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1", "HF_HUB_OFFLINE": "1"}


def glossa(folder: Path, *words: str) -> None:
    """Runs a command of Glossa, which has to succeed."""
    command = [sys.executable, "-m", "stages", *words]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"glossa {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def repro(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Starts `dvc repro` in a session of its own."""
    with (folder / "repro.log").open("wb") as log:
        return subprocess.Popen(
            [str(BIN / "dvc"), "repro", *words],
            cwd=folder,
            env=environment(folder),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def whole(folder: Path) -> dict[str, str]:
    """Runs to the end, and returns the hashes of all outputs."""
    with repro(folder) as process:
        if process.wait():
            raise SystemExit((folder / "repro.log").read_text("utf-8")[-4000:])
    return outs(folder)


def stage_of(process: subprocess.Popen[bytes]) -> tuple[str, psutil.Process | None]:
    """Returns the kind of stage whose command DVC runs just now, and its process; DVC itself where it runs none."""
    with_stage = (child for child in psutil.Process(process.pid).children(recursive=True))
    for child in with_stage:
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        names = list(map(os.path.basename, words[:3]))
        if "glossa" in names and "python" in words[0]:
            kind = words[names.index("glossa") + 1 :][:1]
            return " ".join(kind + words[-1:] * (kind == ["score"])), child
    return "DVC", None


def unreadable(folder: Path) -> list[Path]:
    """Returns the locks that a kill has left in no state that DVC reads."""
    found = []
    for path in (folder / "dvc.lock", *folder.glob("pipelines/*/dvc.lock")):
        try:
            YAML(typ="safe").load(path)["stages"]
        except Exception:  # noqa: BLE001 - whatever it is, DVC does not read it
            found += [path] if path.exists() else []
    return found


def kill(process: subprocess.Popen[bytes], how: str) -> tuple[str, str]:
    """Kills, waits until nothing of the run is left, and returns what ran and what was killed."""
    running, child = stage_of(process)
    how = how if child is not None else "all"
    if how == "stage alone":
        assert child is not None
        child.kill()
    else:
        left = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        if how == "all":
            for one in left:
                one.kill()
        psutil.wait_procs(left)  # a stage without its DVC goes on to its end
    process.wait()
    return running, how


def wait_for(process: subprocess.Popen[bytes], folder: Path, stages: int) -> None:
    """Returns when the run has begun so many stages, or is over."""
    while process.poll() is None and (folder / "repro.log").read_bytes().count(BEGINS) < stages:
        time.sleep(0.1)


def harried(folder: Path, kills: int, generator: random.Random) -> tuple[Counter[tuple[str, str]], int]:
    """Kills runs of the project until ``kills`` have hit or it is done; returns what they hit, and how many locks they broke."""
    hit: Counter[tuple[str, str]] = Counter()
    broken = 0
    while hit.total() < kills:
        process = repro(folder)
        # In the stage that was killed last, or in the next, so that all of them have their turn.
        wait_for(process, folder, generator.choice((1, 2)))
        try:
            process.wait(generator.uniform(0, LONGEST))
        except subprocess.TimeoutExpired:
            hit[kill(process, generator.choice(HOW))] += 1
        else:
            if not process.returncode:
                break
            raise SystemExit((folder / "repro.log").read_text("utf-8")[-4000:])
        if unreadable(folder):
            broken += 1
            glossa(folder, "wire")
    return hit, broken


def harried_at(folder: Path, stage: str, kills: int, generator: random.Random) -> Counter[tuple[str, str]]:
    """Kills a single stage of a finished project so many times, forced to run anew, and returns what was hit; short ones end a run unhurt now and then."""
    hit: Counter[tuple[str, str]] = Counter()
    while hit.total() < kills:
        process = repro(folder, "-f", "-s", stage)
        wait_for(process, folder, 1)
        try:
            process.wait(generator.uniform(0, LASTS[stage]))
        except subprocess.TimeoutExpired:
            hit[kill(process, generator.choice(HOW))] += 1
            if unreadable(folder):
                glossa(folder, "wire")
    return hit


def race(kills: int, seed: int, latency: float = 0.05) -> Came:
    """Compares a run that is killed with one that is not; more than one where one does not take so many kills."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as parent:
        with served(f"--latency={latency}") as url:
            expected = whole(project(Path(parent, "undisturbed"), url))
        hit: Counter[tuple[str, str]] = Counter()
        broken = twice = cut = 0
        differ: set[str] = set()
        while hit.total() < kills:
            with served(f"--latency={latency}") as url:
                folder = project(Path(parent, f"killed-{hit.total()}"), url)
                some, locks = harried(folder, kills - hit.total(), generator)
                whole(folder)
                for stage in LASTS:
                    some += harried_at(folder, stage, 3, generator)
                found = whole(folder)
                under_way, again = paid(folder / ".glossa", counts(url))
            hit, broken = hit + some, broken + locks
            cut, twice = cut + under_way, twice + again
            differ |= {path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)}
    return Came(hit, broken, sorted(differ), twice, cut)


def paid(home: Path, got: dict[str, int]) -> tuple[int, int]:
    """Returns how many attempts a kill has cut off, and how many calls there were beyond the first and those, as the server has counted."""
    db = sqlite3.connect(f"file:{home / 'journal.sqlite'}?mode=ro", uri=True)
    cut = Counter(key for (key,) in db.execute("SELECT key FROM attempt WHERE ended IS NULL"))
    keys = [key for (key,) in db.execute("SELECT key FROM response")]
    db.close()
    with Journal(home / "journal.sqlite") as journal:
        calls = {key: got[hashlib.sha256(journal[key].request).hexdigest()] for key in keys}
    return cut.total(), sum(max(0, n - 1 - cut[key]) for key, n in calls.items())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.time()
    came = race(arguments.kills, arguments.seed)
    print("| running | all killed | DVC alone | stage alone |\n|---|---|---|---|")
    for running in sorted({running for running, _ in came.kills}):
        print(f"| {running} | {' | '.join(str(came.kills[running, how]) for how in HOW)} |")
    print(f"{came.kills.total()} kills in {time.time() - started:.0f} s; {came.locks} left a lock that can't be read")
    print(f"outputs that differ: {', '.join(came.differ) or 'none'}")
    print(f"calls under way at a kill: {came.cut}; paid twice without one: {came.twice}")
    if came.differ or came.twice:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
