from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from stages.llm.call import Call
from stages.llm.journal import elsewhere, transcript
from stages.llm.journal.store import Journal
from tests.llm.asking import ask
from tests.llm.conftest import Serve
from tests.llm.journal.test_store import call

SCORES = Path("data/scores/one/llm/detection")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(folder: Path, calls: list[Call]) -> Path:
    """Writes a transcript."""
    folder.mkdir(parents=True)
    with transcript.recording(folder) as recorder:
        for one in calls:
            recorder.record(one)
        recorder.save(folder)
    return folder / transcript.NAME


def hint() -> str | None:
    with Journal.at_home() as journal:
        return elsewhere.hint(journal)


def test_it_comes_where_transcripts_hold_what_the_journal_does_not() -> None:
    assert hint() is None
    write(SCORES, [call(1), call(2)])
    write(Path("data/explanations/one/llm"), [call(1)])
    with Journal.at_home() as journal:
        journal.add([call(1)], "transcript")
    told = hint()
    assert told is not None
    assert told.startswith(f"{SCORES}/transcript.parquet holds answers")
    assert "glossa journal import data" in told
    with Journal.at_home() as journal:
        journal.add([call(2)], "transcript")
    assert hint() is None


def test_it_counts_files_and_passes_over_damaged_ones() -> None:
    for number in range(3):
        write(Path(f"data/scores/one/llm/{number}"), [call(number)])
    write(Path("data/scores/a"), [call(9)]).write_bytes(b"PAR1 no more")
    told = hint()
    assert told is not None
    assert "data/scores/one/llm/0/transcript.parquet and 2 more holds" in told


def test_it_comes_where_dvc_has_removed_the_transcript_of_the_stage_that_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cached(content: bytes, ending: str = "") -> str:
        md5 = hashlib.md5(content).hexdigest() + ending
        place = elsewhere.CACHE / md5[:2] / md5[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return md5

    path = write(SCORES, [call(1)])
    manifest = [{"md5": cached(path.read_bytes()), "relpath": transcript.NAME}]
    out = {"path": str(SCORES), "md5": cached(json.dumps(manifest).encode(), ".dir")}
    path.unlink()
    lock = Path("pipelines/one/dvc.lock")
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"schema": "2.0", "stages": {"score@llm-detection": {"cmd": "glossa", "outs": [out]}}}))
    assert hint() is None
    monkeypatch.setenv(elsewhere.STAGE, "pipelines/one/dvc.yaml:explain@llm")
    assert hint() is None
    monkeypatch.setenv(elsewhere.STAGE, "pipelines/one/dvc.yaml:score@llm-detection")
    told = hint()
    assert told is not None
    assert told.startswith(f"{path} holds answers")
    assert "dvc checkout" in told


def test_whoever_asks_a_server_is_told_before(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    serve()
    write(SCORES, [call(1)])
    ask(2)
    assert capfd.readouterr().err.count("glossa journal import data") == 1
    ask(2)  # all known
    assert "import" not in capfd.readouterr().err
