"""Every stage run for real on a small subject, each in a process of its own, by any copy of the code; what it executes is watched.

Run as a script it does one job, ``workbench.py JOB RESULT``, where JOB is JSON and RESULT the file that tells what came of it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

PATIENCE = 240
"""Seconds that a job may take: an edited constant may keep a loop from ending."""
CO_OPTIMIZED = 1
"""The flag of code that is a function's, and no class body's."""

STAGES = (
    ("tokenize",),
    ("cache", "one"),
    ("sample", "one"),
    ("explain", "one", "pattern"),
    ("score", "one", "pattern", "detection"),
    ("score", "one", "pattern", "local"),
    ("score", "one", "pattern", "fuzzing"),
    ("score", "one", "pattern", "simulation"),
    ("score", "one", "pattern", "surprisal"),
    ("score", "one", "pattern", "pmi"),
    ("score", "one", "pattern", "intervention"),
    ("score", "one", "pattern", "sensitivity"),
    ("score", "one", "latent", "intruder"),
    ("compare",),
    ("report",),
)
PARAMS = """\
seed: 0
corpus: {source: text, path: texts, context_length: 32, tokens: 3_200, bos: <|end|>}
subject: {model: subject}
models:
  pattern: {provider: pattern}
  chat: {provider: transformers, model: chat}
coders:
  one: {path: coders/one, hookpoint: layers.0, format: sparsify}
  two: {path: coders/two, hookpoint: layers.1, format: sparsify}
sampling:
  latents: {first: 8}
  min_activations: 5
  window: 8
  train: {strategy: quantile, n: 6, negatives: {random: 2}}
  test: {per_decile: 4, negatives: {random: 6, neighbour: 2, surface: 2}}
explainers:
  pattern: {kind: pattern}
scorers:
  detection: {kind: detection, model: pattern, latents: 4}
  local: {kind: detection, model: chat, latents: 1}
  fuzzing: {kind: fuzzing, model: pattern, latents: 4}
  simulation: {kind: simulation, model: pattern, latents: 2}
  surprisal: {kind: surprisal, model: chat, shots: 0, latents: 1}
  pmi: {kind: pmi, model: chat, latents: 1}
  intervention: {kind: intervention, model: chat, shots: 0, per_quintile: 1, latents: 1, new_tokens: 4}
  sensitivity: {kind: sensitivity, model: pattern, latents: 2}
  intruder: {kind: intruder, model: pattern, latents: 4}
"""


class Workbench:
    """Runs stages in ``folder``, or elsewhere."""

    def __init__(self, folder: Path):
        self.folder = folder

    def run(self, code: Path, words: tuple[str, ...], place: Path, watch: bool = False) -> dict[str, Any]:
        """Runs a stage in ``place`` by the code below ``code``; returns ``ok``, ``said``, ``fingerprints`` and what was watched."""
        from tests import warm  # not in the process of the job, whose code is another's

        job = {"code": str(code), "words": words, "place": str(place), "watch": watch}
        result = place.with_name(f"{place.name}.{'-'.join(words)}.json")
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", "GLOSSA_HOME": "home"}
        warm.run(("python", __file__, json.dumps(job), str(result)), place, environment)
        found = json.loads(result.read_text()) if result.is_file() else {"ok": False, "said": "no end"}
        result.unlink(missing_ok=True)
        return found

    def outs(self, code: Path, folder: Path, spare: Path) -> dict[str, str | None]:
        """Returns what every stage makes of what lies in ``folder``: a hash of its outputs, None where it fails; in ``spare``, a new folder."""

        def one(words: tuple[str, ...]) -> tuple[str, str | None]:
            place = spare / "-".join(words)
            shutil.copytree(folder, place, symlinks=True)
            found = self.run(code, words, place)
            digest = digest_of(place, words) if found["ok"] else None
            shutil.rmtree(place)
            return " ".join(words), digest

        with ThreadPoolExecutor(2) as pool:
            return dict(pool.map(one, STAGES))


def opened(folder: Path, subject: Path, make_coder: Callable[..., Path]) -> Workbench:
    """Furnishes ``folder`` with a project in which nothing has run."""
    from tests.conftest import SENTENCES
    from tests.llm import tiny_chat

    shutil.copytree(subject, folder / "subject")
    make_coder(folder / "coders" / "one", seed=1)
    make_coder(folder / "coders" / "two", seed=2)
    tiny_chat.make(folder / "chat")
    (folder / "texts").mkdir()
    for number in range(30):
        text = " ".join(SENTENCES[(number * 5 + 3 * step + step * step) % len(SENTENCES)] for step in range(8))
        (folder / "texts" / f"{number:02}.txt").write_text(text, encoding="utf-8")
    (folder / "params.yaml").write_text(PARAMS)
    return Workbench(folder)


def outputs(words: tuple[str, ...]) -> list[str]:
    """Where a stage writes."""
    match words:
        case ("cache", coder):
            return [f"data/latents/{coder}.zarr"]
        case ("sample", coder):
            return [f"data/examples/{coder}"]
        case ("explain", *names):
            return ["/".join(("data/explanations", *names))]
        case ("score", *names):
            return ["/".join(("data/scores", *names))]
        case ("compare",):
            return ["data/similarity"]
        case ("report",):
            return ["results/plots", "results/report", "results/dataset", "results/metrics"]
    return ["data/tokens"]


def digest_of(folder: Path, words: tuple[str, ...]) -> str:
    """A hash of all that a stage wrote."""
    found = hashlib.sha256()
    for out in outputs(words):
        path = folder / out
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file():
                found.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return found.hexdigest()


def top_level(source: str) -> list[tuple[int, int, str]]:
    """(first line, last line, names) of the statements on the top level of a module."""
    found = []
    for node in ast.parse(source).body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        name = getattr(node, "name", "") or ", ".join(sorted(names))
        found.append((first, node.end_lineno or first, name))
    return found


# What follows runs in the process of a job.


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Runs a stage in this process, which is to end afterwards."""
    os.chdir(job["place"])
    log = os.open("log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.path.insert(0, job["code"])
    root = f"{job['code']}/stages/"
    lines: dict[str, set[int]] = {}
    files: set[str] = set()
    if job["watch"]:
        watch(root, lines, files)
    try:
        if job["words"] == ["fingerprints"]:
            from stages import params
            from stages.wiring import fingerprints

            return {"ok": True, "fingerprints": fingerprints.current(params.load())}
        command = import_module(f"stages.{job['words'][0]}").command
        command.main(job["words"][1:], standalone_mode=False)
        ok, said = True, ""
    except BaseException as error:  # noqa: BLE001 - whatever ends it is the result
        ok, said = False, f"{type(error).__name__}: {error}"
    sys.settrace(None)
    return {
        "ok": ok,
        "said": said,
        "lines": {file: sorted(found) for file, found in lines.items()},
        "files": sorted(files),
    }


def watch(root: str, lines: dict[str, set[int]], files: set[str]) -> None:
    """Notes the lines of functions below ``root`` that are executed other than on import, and the files there that are opened."""

    machine = f"{root}machine/"
    nothing_new: dict[int, CodeType] = {}
    """Other code than is looked for, or of which every line was seen, by what it is and not by its content, whose hash takes long."""

    def in_lines(frame: Any, event: str, _: Any) -> Any:
        if event == "line":
            lines[frame.f_code.co_filename].add(frame.f_lineno)
        elif event == "return":
            code = frame.f_code
            if {line for _, _, line in code.co_lines() if line} <= lines[code.co_filename]:
                nothing_new[id(code)] = code
        return in_lines

    def in_calls(frame: Any, event: str, _: Any) -> Any:
        code = frame.f_code
        if id(code) in nothing_new:
            return None
        if (
            not code.co_filename.startswith(root)
            or not code.co_filename.endswith(".py")
            or not code.co_flags & CO_OPTIMIZED
        ):
            nothing_new[id(code)] = code
            return None
        above = frame.f_back
        if above is not None and above.f_code.co_filename.startswith(machine):
            return None  # what only stages/machine asks for
        while above is not None and above.f_code.co_filename.startswith(root):
            if above.f_code.co_name == "<module>":
                return None
            above = above.f_back
        lines.setdefault(code.co_filename, set()).add(frame.f_lineno)
        return in_lines

    def on_event(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            path = os.fspath(arguments[0])
            if isinstance(path, str) and path.startswith(root) and not path.endswith((".py", ".pyc")):
                files.add(path)

    sys.addaudithook(on_event)
    threading.settrace(in_calls)
    sys.settrace(in_calls)


if __name__ == "__main__":
    signal.alarm(PATIENCE)
    Path(sys.argv[2]).write_text(json.dumps(work(json.loads(sys.argv[1]))))
