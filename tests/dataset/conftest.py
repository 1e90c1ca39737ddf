from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stages import params, paths
from stages.dataset import folder
from stages.llm.call import Call
from stages.llm.journal import canonical, transcript
from stages.outputs import dumps, new_directory, write_table
from stages.results import reading
from stages.scorers.table import verdicts_schema
from tests.results.furnished import furnish

INSTRUCTIONS = "You judge `examples` | by an explanation."


def verdicts() -> pa.Table:
    """Two windows of latent 2, one of which nobody judged."""
    judged = {
        "explanation": "own",
        "latent": 2,
        "window": 4,
        "role": "test",
        "decile": 1,
        "active": True,
        "predicted": True,
    }
    silent = judged | {
        "window": 28,
        "role": "negative",
        "kind": "random",
        "decile": 0,
        "active": False,
        "predicted": None,
    }
    rows: list[dict[str, Any]] = [judged | {"value": 0.75}, silent | {"reason": "no answer"}]
    return pa.Table.from_pylist([dict.fromkeys(verdicts_schema().names) | row for row in rows], verdicts_schema())


def ask(directory: Path) -> None:
    """Leaves the transcript of one call."""
    body = canonical.encode({"model": "llama", "messages": [{"role": "system", "content": INSTRUCTIONS}]})
    answer = dumps({"model": "llama-3.1 | 70b", "choices": []}).encode()
    with transcript.recording(directory) as recorder:
        recorder.record(Call(canonical.key("lab", body, 0), "lab", canonical.CHAT, 0, 200, body, answer))
        recorder.save(directory)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A furnished folder with verdicts, a transcript and its results/dataset; to be read only."""
    place = tmp_path_factory.mktemp("shared")
    with chdir(place):
        furnish(place)
        detection = paths.scores("one", "llm", "detection")
        write_table(detection / "verdicts.parquet", verdicts())
        ask(detection)
        write()
    return place


def write() -> None:
    """Writes results/dataset in the current folder."""
    p = params.load()
    with new_directory(paths.DATASET) as partial:
        folder.write(partial, p, reading.read(p))


@pytest.fixture
def dataset(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """results/dataset, below the current folder."""
    monkeypatch.chdir(shared)
    return paths.DATASET
