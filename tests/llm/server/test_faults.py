"""Every way in which a server can fail to answer has one outcome."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import socket
import time
import zlib
from email.utils import formatdate
from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.llm.journal import transcript
from stages.llm.journal.store import Journal
from stages.llm.server import faults
from stages.llm.server.faults import AttemptError
from tests.llm.asking import ask, judge, question, runtime_yaml
from tests.llm.conftest import Serve
from tests.llm.scripted_server import Action, Asked, Script, chance, completion, error, faulty, good, verdicts

pytestmark = pytest.mark.usefixtures("unprobed")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.01)
    monkeypatch.setattr("stages.llm.server.calls.FIRST_CONTACT_SECONDS", 0.5)
    monkeypatch.setattr("stages.llm.server.broken.LOOK_SECONDS", 0.1)


def first(action: Action) -> Script:
    """Does ``action`` once for every body, then answers."""
    return lambda asked: action if asked.n == 1 else good(asked)


BROKEN = completion(Asked("0" * 64, {"messages": [], "model": "m"}, 1, {})).body[:-20]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (error(429, "slow down"), "429 (slow down)"),
        (error(429, "slow down", retry_after="0.02"), "429 (slow down)"),
        (error(408), "408"),
        (error(409), "409"),
        (error(500, "oh"), "500 (oh)"),
        (error(503, "loading", retry_after="0.02"), "503 (loading)"),
        (Action(502, b"<html>bad gateway</html>"), "502"),
        (Action(hang=True), "no answer within 0.3 s"),
        (completion(Asked("0" * 64, {"messages": [], "model": "m"}, 1, {}))._replace(cut=300), "the answer broke off"),
        (Action(cut=0), "the connection broke before an answer came"),
        (Action(headers={"content-length": "many"}), "an answer that is no HTTP"),
        (Action(body=b"<!doctype html>"), "200 with an HTML page"),
        (Action(body=b'{"choices": []}'), "200 with no choices"),
        (Action(body=b'{"choices": null}'), "200 with no choices"),
        (Action(body=b'{"choices": [{"index": 0}]}'), "200 with a choice without a message"),
        (
            Action(body=b'{"choices": [{"message": {}, "finish_reason": "error"}]}'),
            "200 with a choice that is an error",
        ),
        (Action(body=BROKEN), "200 with a body that is no whole JSON"),
        (Action(body=b"[" * 100_000), "200 with a body that is no whole JSON"),
        (Action(body=b"[1]"), "200 with JSON that is no object"),
        (Action(body=b'{"a": "\xff"}'), "200 with a body that is no whole JSON"),
        (Action(body=b'{"error": {"code": 429, "message": "upstream"}}'), "429 (upstream)"),
        (Action(body=b'{"error": {"code": 502, "message": "upstream"}}'), "502 (upstream)"),
        (Action(body=b'{"error": {"message": "what"}}'), "200 with the error what"),
        (Action(body=b'{"error": "what"}'), "200 with the error what"),
        (Action(body=b"x" * (17 * 2**20)), "an answer of more than 16,777,216 bytes"),
        (
            Action(body=gzip.compress(b" " * 2**20, mtime=0), headers={"content-encoding": "gzip"}),
            "an answer of compressed bytes, which nobody asked for",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_passing_fault_is_written_down_and_asked_again(serve: Serve, action: Action, said: str) -> None:
    server = serve(first(action), timeout=0.3 if action.hang else 600)
    (answer,) = ask()
    assert json.loads(answer.content or "") == verdicts(server.calls[0])
    assert len(server.calls) == 2
    with Journal.at_home() as journal:
        errors = journal._db.execute("SELECT error FROM attempt WHERE error IS NOT NULL").fetchall()
        assert errors == [(said,)]
        assert [(line["answers"], line["failed"], line["unfinished"]) for line in journal.ledger()] == [(1, 1, 0)]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (error(400, "no such field"), "400 (no such field); mend the options of the model in params.yaml"),
        (error(401, "bad key"), "401 (bad key); check the key in the environment variable that api_key_env names"),
        (error(403), "403; check that the key may use this model"),
        (error(404, "no model"), "404 (no model); check base_url in runtime.yaml and the model in params.yaml"),
        (Action(422, b'{"detail": "unknown"}'), "422 (unknown); leave the options that this server does not know"),
        (error(429, "pay", code="insufficient_quota"), "429 (pay); the account has no quota left"),
        (Action(302, headers={"location": "http://127.0.0.1:9/v1"}), "302, a redirect; set base_url"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_fault_for_good_ends_the_stage_at_once_in_one_sentence(serve: Serve, action: Action, said: str) -> None:
    server = serve(lambda _: action, concurrency=1)
    with pytest.raises(GlossaError) as caught:
        ask(20)
    assert len(server.calls) == 1
    assert f"asked the endpoint lab at {server.url} for m, but got {said}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_never_ready_ends_the_stage_and_is_not_hammered(serve: Serve) -> None:
    server = serve(lambda _: error(429, "busy", retry_after="0.05"), patience=0.4, concurrency=16)
    with pytest.raises(GlossaError, match=r"but got 429 \(busy\) and wants to be left alone for 0 s.*patience"):
        ask(40)
    assert len(server.calls) <= 16 * 9  # 16 calls at a time, each waiting 50 ms at least in 400 ms


def test_a_retry_after_beyond_the_patience_ends_the_stage_without_waiting(serve: Serve) -> None:
    server = serve(lambda _: error(429, retry_after="7200"), patience=600)
    began = time.monotonic()
    with pytest.raises(GlossaError, match=r"wants to be left alone for 7,200 s; .*raise endpoints\.lab\.patience"):
        ask()
    assert time.monotonic() - began < 5
    assert len(server.calls) == 1


def test_a_retry_after_within_the_patience_is_waited_for(serve: Serve) -> None:
    server = serve(first(error(429, retry_after="1.2")))
    times: list[float] = []
    script = server.script
    server.script = lambda asked: (times.append(time.monotonic()), script(asked))[1]
    ask()
    assert times[1] - times[0] >= 1.2


def test_nonsense_again_and_again_ends_the_stage(serve: Serve) -> None:
    server = serve(lambda _: Action(body=b"<html>"))
    with pytest.raises(GlossaError, match="but 5 times got 200 with an HTML page; check base_url"):
        ask()
    trial = [call for call in server.calls if "lighthouse" in str(call.body)]
    assert (len(server.calls), len(trial)) == (6, 1)


@pytest.mark.parametrize(
    "action",
    [
        Action(body=b"<html>"),
        Action(body=b'{"choices": [{"message": {"content": "caf\xe9"}}]}'),
        Action(body=b'{"error": {"code": ["x"], "message": 5}}'),
        Action(body=b"x" * (17 * 2**20)),
        Action(headers={"content-encoding": "gzip"}, body=gzip.compress(b"{}", mtime=0)),
        Action(headers={"content-length": "many"}),
    ],
    ids=lambda action: str(action.body[:20] or action.headers),
)
def test_a_question_to_which_the_server_says_nonsense_while_it_answers_others_is_unscored(
    serve: Serve, action: Action
) -> None:
    def script(asked: Asked) -> Action:
        return action if "Question 3" in asked.body["messages"][-1]["content"] else good(asked)

    server = serve(script, concurrency=4)
    with transcript.recording(Path("out")) as recorder:
        answers = ask(6, reasks=1)
        recorder.save(Path())
    assert [answer.reason for answer in answers] == [None] * 3 + ["what the server sent is no answer"] + [None] * 2
    assert sum("Question 3" in str(call.body) for call in server.calls) <= 2 * 6
    sent = len(server.calls)
    assert ask(6, reasks=1) == answers
    assert len(server.calls) == sent
    assert [call.key for call in transcript.read(Path(transcript.NAME)) if call.key == answers[3].key]


def test_an_error_page_in_latin_1_is_kept_and_written_down(serve: Serve) -> None:
    def script(asked: Asked) -> Action:
        number = asked.body["messages"][-1]["content"].split("\n")[0]
        page = "<html>d\u00e9sol\u00e9</html>".encode("latin-1")
        filtered = '{"error": {"code": "content_filter", "message": "refus\u00e9"}}'.encode("latin-1")
        return {"Question 1": Action(500, page), "Question 2": Action(400, filtered)}.get(number) or good(asked)

    server = serve(script, concurrency=4)
    for _ in range(2):
        with transcript.recording(Path("out")) as recorder:
            answers = ask(6, reasks=0)
            recorder.save(Path())
        reasons = [None, "the server failed on it (500)", "the model refused", None, None, None]
        assert [answer.reason for answer in answers] == reasons
    calls = {call.key: call.response for call in transcript.read(Path(transcript.NAME))}
    assert calls[answers[1].key or ""] == rb"<html>d\xe9sol\xe9</html>"
    assert sum("Question 2" in str(call.body) for call in server.calls) == 1


def test_a_row_that_is_no_answer_by_the_rules_of_today_ends_nothing(serve: Serve) -> None:
    server = serve()
    (answer,) = ask()
    with Journal.at_home() as journal:
        page = zlib.compress(b"<html>\xe9</html>")
        journal._db.execute("UPDATE response SET response = ? WHERE key = ?", (page, answer.key))
    with transcript.recording(Path("out")) as recorder:
        (again,) = ask()
        recorder.save(Path())
    assert again.content
    assert again.key != answer.key  # asked for again, as what can't be read is
    assert len(server.calls) == 2
    assert len(list(transcript.read(Path(transcript.NAME)))) == 2


def test_a_server_that_is_not_there_is_not_waited_for_long(serve: Serve) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        serve()
        runtime_yaml(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        with pytest.raises(GlossaError, match=r"but got no connection \(Connect call failed .*\); see that it runs"):
            ask()
    with Journal.at_home() as journal:
        assert journal.spent("lab") == (0, 0, 0)


def test_what_was_answered_before_a_fault_is_kept(serve: Serve) -> None:
    server = serve(lambda asked: error(401) if "Question 7" in str(asked.body) else good(asked), concurrency=1)
    with pytest.raises(GlossaError, match="401"):
        ask(20)
    before = len(server.calls)
    server.script = good
    assert all(answer.content for answer in ask(20))
    assert len(server.calls) == before + 13


def test_calls_in_flight_are_finished_when_another_fails_for_good(serve: Serve) -> None:
    def script(asked: Asked) -> Action:
        return error(401) if "Question 0" in str(asked.body) else good(asked)._replace(delay=0.3)

    serve(script, concurrency=4)
    with pytest.raises(GlossaError, match="401"):
        ask(4)
    with Journal.at_home() as journal:
        assert len(journal) == 3


def test_a_filtered_prompt_is_an_answer(serve: Serve) -> None:
    server = serve(lambda _: error(400, "filtered", code="content_filter"))
    for _ in range(2):
        (answer,) = ask()
        assert (answer.content, answer.reason) == (None, "the model refused")
    assert len(server.calls) == 1


@pytest.mark.parametrize("reasks", [0, 2])
def test_seven_per_cent_429_and_ten_per_cent_malformed_lose_and_invent_nothing(serve: Serve, reasks: int) -> None:
    server = serve(faulty(busy=0.07, malformed=0.10))
    options = judge(reasks=reasks)
    answers = ask(1000, reasks=reasks)
    expected, bodies = [], 0
    for number in range(1000):
        content = reason = None
        for again in range(reasks + 1):
            body = options.body(question(number), again, reason)
            digest = hashlib.sha256(body).hexdigest()
            bodies += 1
            content, reason = None, "the answer is no JSON"
            if chance(digest, "malformed") >= 0.10:
                content, reason = json.dumps(verdicts(Asked(digest, json.loads(body), 1, {}))), None
                break
        expected.append((content, reason))
    assert [(answer.content, answer.reason) for answer in answers] == expected
    unread = sum(content is None for content, _ in expected)
    assert 70 < unread < 130 if reasks == 0 else unread < 10
    assert len(server.counts) == bodies
    assert len(server.calls) == bodies + sum(chance(digest, "busy") < 0.07 for digest in server.counts)


def failing(asked: Asked, on: str = "Question 3", status: int = 500) -> Action:
    """Fails on one question, however it is asked, and answers all others."""
    return error(status, "no peg-native format") if on in asked.body["messages"][-1]["content"] else good(asked)


@pytest.mark.parametrize(("status", "attempts"), [(500, 4), (502, 10)])
def test_a_question_on_which_the_server_fails_while_it_answers_others_is_unscored_and_not_asked_for_ever(
    serve: Serve, status: int, attempts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "LONGEST_WAIT", 0.02)
    server = serve(lambda asked: failing(asked, status=status), concurrency=4)
    answers = ask(60, reasks=1)
    assert (answers[3].content, answers[3].reason) == (None, f"the server failed on it ({status})")
    failed = [call for call in server.calls if "Question 3" in call.body["messages"][-1]["content"]]
    others = [n for n in range(60) if str(n).startswith("3")]
    assert [n for n, answer in enumerate(answers) if answer.content is None] == others
    # Each is asked for again once, with the reason, and may have to wait for somebody else's answer.
    assert 2 * attempts * len(others) <= len(failed) <= 2 * (attempts + 1) * len(others)
    assert f"could not be used: the server failed on it ({status})" in failed[-1].body["messages"][-1]["content"]
    with Journal.at_home() as journal:
        assert journal[answers[3].key or ""].status == status
        (line,) = journal.ledger()
        assert (line["failed"], line["unfinished"]) == (len(failed), 0)
    sent = len(server.calls)
    assert ask(60, reasks=1) == answers
    assert len(server.calls) == sent


def test_when_nothing_else_is_asked_a_small_question_tells_whose_fault_it_is(serve: Serve) -> None:
    server = serve(failing)
    answers = list(judge(reasks=0).answer([question(3)]))
    assert answers[0].reason == "the server failed on it (500)"
    assert ["lighthouse" in str(call.body) for call in server.calls] == [False] * 3 + [True, False]


def test_a_server_that_fails_on_everything_is_waited_for(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "LONGEST_WAIT", 0.02)
    server = serve(lambda asked: error(500) if len(server.calls) < 60 else good(asked), concurrency=4)
    assert all(answer.content for answer in ask(8))
    server.script = lambda _: error(500)
    runtime_yaml(server.url, patience=0.3)
    with pytest.raises(GlossaError, match="but got 500; see that it runs, or raise"):
        ask(9)
    with Journal.at_home() as journal:
        assert len(journal) == 8


def test_a_server_that_fails_on_question_after_question_ends_the_stage(serve: Serve) -> None:
    server = serve(lambda asked: failing(asked, on="Question"), concurrency=16)
    with pytest.raises(GlossaError, match="but for 51 questions in a row got 500"):
        ask(200, reasks=0)
    assert len(server.calls) < 500


NOW = 1_750_000_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": formatdate(NOW + 60, usegmt=True)}, 60.0),
        ({"retry-after": formatdate(NOW - 60, usegmt=True)}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert faults.retry_after(headers, NOW) == seconds


def test_the_wait_doubles_up_to_a_minute_and_is_never_shorter_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.5)
    generator = random.Random(0)
    for n, longest in ((1, 0.5), (2, 1.0), (5, 8.0), (8, 60.0), (40, 60.0)):
        waits = [faults.pause(AttemptError("down", ""), n, generator) for _ in range(200)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
    waits = [faults.pause(AttemptError("busy", "", wait=40.0), 1, generator) for _ in range(200)]
    assert 40 <= min(waits) < max(waits) <= 42.1
