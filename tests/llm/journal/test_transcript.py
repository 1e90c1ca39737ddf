from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.errors import GlossaError
from stages.llm.batch import restore
from stages.llm.call import Call
from stages.llm.journal import canonical, transcript
from stages.llm.journal.store import Journal
from stages.machine import runtime
from stages.outputs import new_directory
from tests.llm.asking import ask, judge, question
from tests.llm.conftest import Serve
from tests.llm.scripted_server import chance, completion, good

pytestmark = pytest.mark.usefixtures("unprobed")


def stage(out: Path, n: int = 30) -> list[object]:
    """Does what a stage does that asks a model."""
    with transcript.recording(out) as recorder:
        answers: list[object] = [*ask(n)]
        with new_directory(out) as partial:
            recorder.save(partial)
    return answers


def test_it_holds_every_call_that_was_used_in_the_order_of_use(serve: Serve) -> None:
    server = serve(lambda asked: good(asked)._replace(delay=0.02 * chance(asked.digest)))
    stage(Path("out"))
    table = pq.read_table("out/transcript.parquet")
    assert table.column_names == ["key", "endpoint", "path", "sample", "status", "request", "response"]
    assert [json.loads(r)["messages"][1]["content"] for r in table["request"].to_pylist()] == [
        f"Question {number}" for number in range(30)
    ]
    assert table["key"].to_pylist() == [judge().key(question(number)) for number in range(30)]
    by_digest = {asked.digest: good(asked).body for asked in server.calls}
    for row in table.to_pylist():
        assert row["key"] == canonical.key(row["endpoint"], row["request"].encode(), row["sample"], row["path"])
        assert row["response"].encode() == by_digest[hashlib.sha256(row["request"].encode()).hexdigest()]


def test_calls_that_had_to_be_asked_again_are_all_there(serve: Serve) -> None:
    serve(lambda asked: good(asked) if "could not be used" in str(asked.body) else completion(asked, content="?"))
    stage(Path("out"), 3)
    table = pq.read_table("out/transcript.parquet")
    assert table["sample"].to_pylist() == [0, 1000] * 3


def test_the_bytes_do_not_depend_on_the_run(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "ROWS", 128)
    serve()
    answers = stage(Path("one"), 300)  # more than two row groups
    assert stage(Path("two"), 300) == answers
    assert Path("one/transcript.parquet").read_bytes() == Path("two/transcript.parquet").read_bytes()
    assert pq.ParquetFile("one/transcript.parquet").metadata.num_row_groups == 3


def test_a_stage_that_fails_leaves_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "ROWS", 128)  # a part is written by then
    serve()
    before = sorted(Path().iterdir())

    def fail() -> None:
        with transcript.recording(Path("out")) as recorder:
            ask(200)
            assert recorder.calls == 200
            raise RuntimeError("later")

    with pytest.raises(RuntimeError, match="later"):
        fail()
    assert sorted(path for path in Path().iterdir() if path.name != "home") == before
    assert transcript.current() is None


def test_without_calls_there_is_no_file() -> None:
    with transcript.recording(Path("out")) as recorder, new_directory(Path("out")) as partial:
        recorder.save(partial)
    assert list(Path("out").iterdir()) == []
    Path("out").rmdir()


def test_it_gives_its_answers_to_another_journal(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = serve()
    answers = stage(Path("out"), 600)
    monkeypatch.setenv("GLOSSA_HOME", str(tmp_path / "elsewhere"))
    with Journal.at_home() as journal:
        calls = list(transcript.read(Path("out/transcript.parquet")))
        assert restore.add(journal, calls, "transcript") == (600, 0, 0)
        assert restore.add(journal, calls, "transcript") == (0, 600, 0)
    assert runtime.home().name == "elsewhere"
    sent = len(server.calls)
    assert ask(600) == answers
    assert len(server.calls) == sent


def test_what_was_tampered_with_is_refused(serve: Serve) -> None:
    serve()
    stage(Path("out"), 6)
    calls = list(transcript.read(Path("out/transcript.parquet")))
    bad = [
        calls[0]._replace(request=calls[1].request),
        calls[1]._replace(sample=5),
        calls[2]._replace(endpoint="other"),
        calls[3]._replace(response=b"<html>"),
        calls[4]._replace(status=429),
    ]
    with Journal(Path("new.sqlite")) as journal:
        assert restore.add(journal, [*bad, calls[5]], "transcript") == (1, 0, 5)
        assert calls[5].key in journal


@pytest.mark.parametrize("content", [b"", b"no parquet", None])
def test_another_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "transcript.parquet"
    if content is None:
        pq.write_table(pa.table({"key": ["a"]}), path)
    else:
        path.write_bytes(content)
    with pytest.raises(GlossaError, match=r"expected a transcript .*transcript\.parquet"):
        list(transcript.read(path))
    with pytest.raises(GlossaError, match="expected a transcript"):
        list(transcript.read(tmp_path / "absent.parquet"))


def test_a_call_is_sound_only_as_a_whole() -> None:
    body = b'{"messages":[]}'
    answer = b'{"choices": [{"message": {"content": "x"}}]}'
    call = Call(canonical.key("lab", body, 0), "lab", canonical.CHAT, 0, 200, body, answer)
    assert restore.is_sound(call)
    assert not restore.is_sound(call._replace(response=b'{"choices": []}'))
    assert restore.is_sound(call._replace(status=500, response=b""))  # the server failed on this question
