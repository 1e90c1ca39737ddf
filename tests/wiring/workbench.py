"""Every stage run for real on a small subject, each in a process of its own, by any copy of the code; what it executes is watched.

Run as a script it is a server: it loads the libraries once and forks for every job that it reads, a line of JSON each.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

LIBRARIES = (
    "torch, numpy, zarr, pyarrow.parquet, pyarrow.dataset, pandas, scipy.stats, scipy.optimize, vl_convert, jinja2, pydantic, click, "
    "tokenizers, sentence_transformers, transformers.models.llama.modeling_llama, transformers.models.bert.modeling_bert, dvc.repo"
)
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
    """Runs stages in ``folder``, by jobs of a server; use it within ``opened``."""

    def __init__(self, folder: Path, server: subprocess.Popen[str]):
        self.folder, self._server, self._lock = folder, server, threading.Lock()
        self._waiting: dict[int, threading.Event] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def run(self, code: Path, words: tuple[str, ...], place: Path, watch: bool = False) -> dict[str, Any]:
        """Runs a stage in ``place`` by the code below ``code``; returns ``ok``, ``said``, ``fingerprints`` and what was watched."""
        done = threading.Event()
        with self._lock:
            number = len(self._waiting)
            self._waiting[number] = done
            job = {"number": number, "code": str(code), "words": words, "place": str(place), "watch": watch}
            assert self._server.stdin is not None
            self._server.stdin.write(json.dumps(job) + "\n")
            self._server.stdin.flush()
        assert done.wait(3 * PATIENCE), "the server of jobs is gone"
        return self._answers.pop(number)

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            answer = json.loads(line)
            self._answers[answer["number"]] = answer
            self._waiting[answer["number"]].set()

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


@contextmanager
def opened(folder: Path, subject: Path, make_coder: Callable[..., Path]) -> Iterator[Workbench]:
    """Furnishes ``folder`` with a project in which nothing has run, and starts the server."""
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
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "GLOSSA_HOME": "home"}
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
    ) as server:
        bench = Workbench(folder, server)
        try:
            yield bench
        finally:
            server.kill()
            bench.listener.join()


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
            return ["results/plots", "results/report", "results/dataset", "results/metrics.json"]
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


# What follows runs in the server and the processes that it forks.


def serve() -> None:
    """Forks for every job on standard input, two at a time, and writes what came of them as lines."""
    exec(f"import {LIBRARIES}", {})
    write = threading.Lock()
    slots = threading.Semaphore(2)

    def wait(job: dict[str, Any], child: int, result: Path) -> None:
        os.waitpid(child, 0)
        slots.release()
        answer = json.loads(result.read_text()) if result.is_file() else {"ok": False, "said": "no end"}
        result.unlink(missing_ok=True)
        with write:
            print(json.dumps({**answer, "number": job["number"]}), flush=True)

    for line in sys.stdin:
        job = json.loads(line)
        slots.acquire()
        result = Path(f"{job['place']}.{job['number']}.json")
        if (child := os.fork()) == 0:
            signal.alarm(PATIENCE)
            try:
                result.write_text(json.dumps(work(job)))
            finally:
                os._exit(0)
        threading.Thread(target=wait, args=(job, child, result)).start()


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

    def in_lines(frame: Any, event: str, _: Any) -> Any:
        if event == "line":
            lines.setdefault(frame.f_code.co_filename, set()).add(frame.f_lineno)
        return in_lines

    def in_calls(frame: Any, event: str, _: Any) -> Any:
        code = frame.f_code
        if (
            not code.co_filename.startswith(root)
            or not code.co_filename.endswith(".py")
            or not code.co_flags & CO_OPTIMIZED
        ):
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
    serve()
