"""No byte that a server sends ends a stage, and no row that is kept ends a later one."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.llm import received
from stages.llm.batch import answers as results
from stages.llm.batch import restore
from stages.llm.batch.questions import MANIFEST, Exported, Writer
from stages.llm.call import Call
from stages.llm.forms import answers, labels, probabilities
from stages.llm.journal import canonical, transcript
from stages.llm.journal.store import Journal
from stages.llm.reply import Reply
from stages.llm.server import faults
from stages.llm.server.faults import AttemptError
from stages.site import calls as site
from tests.llm.anything import BODIES, COMPLETION, ERROR, JSON, PARTS, STATUSES, TOKENS, each_replaced, replaced
from tests.llm.asking import question
from tests.llm.batch.test_questions import noted

TWO = labels.schema(2)
LATIN = '{"error": {"message": "d\u00e9sol\u00e9", "code": "content_filter"}}'.encode("latin-1")


@settings(max_examples=150)
@given(BODIES)
def test_any_body_is_text_that_a_file_can_hold_and_stays_so(body: bytes) -> None:
    text = received.text(body)
    assert received.text(text.encode()) == text


@settings(max_examples=150)
@given(STATUSES, BODIES, st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text(max_size=30)))
def test_any_response_is_an_answer_or_a_fault_in_one_short_line(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    is_read_or_refused(status, body, headers)


def test_a_response_is_an_answer_or_a_fault_whatever_stands_in_one_of_its_places() -> None:
    for value in itertools.chain(*map(each_replaced, (COMPLETION, PARTS, ERROR))):
        for status in (200, 400, 429, 500):
            is_read_or_refused(status, json.dumps(value).encode(), {})


def is_read_or_refused(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Reads a response as it came and as it is kept, which have to be the same."""
    found, fault = read(status, body, headers)
    again = read(status, received.text(body).encode(), headers)
    assert repr(again) == repr((found, fault))  # a NaN is not itself
    reply = faults.kept(status, body)
    if fault is not None:
        fault.reason.encode()
        assert len(fault.reason.splitlines()) == 1
        assert len(fault.reason) < 600
        assert fault.wait is None or fault.wait >= 0
        assert reply.failed or reply.garbled
    for text in (reply.content, reply.finish, reply.model):
        (text or "").encode()
    for schema in (TWO, None):
        got = answers.read(reply, schema)
        assert (got.value is None) == (got.reason is not None)
        json.dumps(got.value, allow_nan=False, ensure_ascii=False).encode()


def read(status: int, body: bytes, headers: dict[str, str]) -> tuple[Reply | None, AttemptError | None]:
    """What ``faults.read`` returns or raises."""
    try:
        return faults.read(status, headers, body), None
    except AttemptError as fault:
        return None, fault


@settings(max_examples=150)
@given(JSON | replaced(TOKENS), st.text(st.characters(exclude_categories=[]), max_size=8))
def test_log_probabilities_of_any_shape_are_bounds_or_none(tokens: Any, before: str) -> None:
    for content in (f'{before}{{"a": true}}', f'{{"a": true, "b": "{before}"}}'):
        found = probabilities.read(content, (0, len(content)), tokens if isinstance(tokens, list) else [])
        assert all(0 <= low <= high <= 1 for low, high in found.values())


def test_log_probabilities_are_bounds_or_none_whatever_stands_in_one_of_their_places() -> None:
    for tokens in each_replaced(TOKENS):
        found = probabilities.read('{"a": true}', (0, 11), tokens if isinstance(tokens, list) else [])
        assert all(0 <= low <= high <= 1 for low, high in found.values())


@pytest.mark.parametrize(
    "token",
    [
        {"token": "true", "logprob": -(10**400)},
        {"token": "true", "logprob": -0.1, "bytes": 10**13},
        {"token": "true", "logprob": -0.1, "bytes": [10**30]},
        {"token": "true", "logprob": -0.1, "top_logprobs": 5},
        {"token": "\ud83d", "logprob": -0.1},
    ],
)
def test_log_probabilities_that_are_no_numbers_say_nothing(token: dict[str, Any]) -> None:
    assert probabilities.read('{"a": true}', (0, 11), [{"token": '{"a": ', "logprob": 0}, token, {"token": "}"}]) == {}


@given(st.lists(st.tuples(st.sampled_from([200, 400, 500, 0, 999]), BODIES), min_size=1, max_size=4))
def test_whatever_was_kept_is_written_down_read_back_and_shown(rows: list[tuple[int, bytes]]) -> None:
    asked = b'{"messages":[{"content":"x","role":"user"}]}'
    calls = [
        Call(canonical.key("lab", asked, n), "lab", canonical.CHAT, n, status, asked, body)
        for n, (status, body) in enumerate(rows)
    ]
    with tempfile.TemporaryDirectory() as folder:
        with transcript.recording(Path(folder, "out")) as recorder:
            for call in calls:
                recorder.record(call)
            recorder.save(Path(folder))
        path = Path(folder, transcript.NAME)
        again = list(transcript.read(path))
        assert again == [call._replace(response=received.text(call.response).encode()) for call in calls]
        for row in pq.read_table(path).to_pylist():
            json.dumps(site.exchange(row), ensure_ascii=False).encode()
        with Journal(Path(folder, "journal.sqlite")) as journal:
            added = restore.add(journal, again, "transcript")
            assert added.new + added.refused == len(calls)
            assert all(journal[call.key] == call for call in again if call.key in journal)


NOTHING = {field.name: st.none() for field in transcript.schema()}
ROW = st.fixed_dictionaries(
    {
        "key": st.none() | st.binary(max_size=8),
        "endpoint": st.none() | st.binary(max_size=8),
        "path": st.none() | st.binary(max_size=8),
        "sample": st.none() | st.integers(-(2**63), 2**63 - 1),
        "status": st.none() | st.integers(-(2**15), 2**15 - 1),
        "request": st.none() | BODIES,
        "response": st.none() | BODIES,
    }
)


@given(st.lists(ROW, min_size=1, max_size=4))
def test_a_transcript_of_any_bytes_gives_nothing_to_a_journal(rows: list[dict[str, Any]]) -> None:
    arrays = []
    for field in transcript.schema():
        kind = pa.binary() if field.type == pa.string() else field.type
        array = pa.array([row[field.name] for row in rows], kind)
        arrays.append(pa.Array.from_buffers(field.type, len(array), array.buffers(), array.null_count))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, transcript.NAME)
        pq.write_table(pa.table(arrays, schema=transcript.schema()), path)
        with Journal(Path(folder, "journal.sqlite")) as journal:
            assert restore.add(journal, transcript.read(path), "transcript") == (0, 0, len(rows))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("export")
    writer = Writer(folder)
    for number in range(3):
        writer.add(noted(question(number)))
    writer.finish(("explain", "one", "llm"))
    return Exported(folder / MANIFEST)


@given(st.data())
def test_lines_of_results_are_answers_or_counted(exported: Exported, data: st.DataObject) -> None:
    line = {"custom_id": next(iter(exported.places)), "response": {"status_code": 200, "body": {}}, "error": None}
    key = st.sampled_from([*exported.places, "other"]) | JSON
    result = st.fixed_dictionaries(
        {
            "custom_id": key,
            "response": JSON
            | st.fixed_dictionaries({"status_code": STATUSES, "body": JSON | replaced(COMPLETION) | replaced(ERROR)}),
            "error": JSON,
        }
    )
    lines = data.draw(st.lists(BODIES | (result | replaced(line)).map(json.dumps).map(str.encode), max_size=5))
    lines = [line.replace(b"\n", b" ") for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results.jsonl")
        path.write_bytes(b"\n".join(lines))
        with Journal(Path(folder, "journal.sqlite")) as journal:
            found = results.bring_in(journal, exported, [path], {})
            assert found.new == len(journal)
    kinds = (found.repeated, found.foreign, found.failed, found.damaged)
    assert found.new + sum(kind.n for kind in kinds) == sum(bool(line.strip()) for line in lines)
    for kind in kinds:
        "".join(kind.examples).encode()
