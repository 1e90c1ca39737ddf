"""Where instructions stand: found out once, kept to, and part of the key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.llm import load
from stages.llm.journal import canonical
from stages.llm.journal.store import Journal
from stages.llm.request import Message, Request
from stages.llm.server import faults, probe, turns
from stages.machine import runtime
from tests.llm.asking import ask, judge, question, runtime_yaml
from tests.llm.conftest import Serve
from tests.llm.refusing import WORDINGS, has_system, refusing
from tests.llm.scripted_server import Action, Asked, Server, completion, error, good

CHAT = [
    {"role": "system", "content": "Judge."},
    {"role": "user", "content": "One"},
    {"role": "assistant", "content": "1"},
    {"role": "user", "content": "Two"},
]


def questions(server: Server) -> list[Asked]:
    return [call for call in server.calls if "Question" in str(call.body)]


def test_instructions_come_before_what_the_user_says_first_and_nothing_else_moves() -> None:
    assert turns.folded(CHAT) == [{"role": "user", "content": "Judge.\n\nOne"}, *CHAT[2:]]
    assert turns.folded(CHAT[1:]) == CHAT[1:]
    assert CHAT[1]["content"] == "One"


def test_the_shape_is_part_of_what_is_asked_and_so_of_the_key() -> None:
    asked = Request(tuple(Message(turn["role"], turn["content"]) for turn in CHAT))
    turn, user = judge(system="turn"), judge(system="user")
    assert json.loads(turn.body(asked))["messages"] == CHAT
    assert json.loads(user.body(asked))["messages"] == turns.folded(CHAT)
    assert user.key(asked) == canonical.key("lab", user.body(asked), 0) != turn.key(asked)


def test_a_server_that_takes_a_system_turn_keeps_the_keys_it_had_before_there_was_a_choice() -> None:
    body = {"max_tokens": 50, "messages": CHAT, "model": "m", "temperature": 0}
    asked = Request(tuple(Message(turn["role"], turn["content"]) for turn in CHAT))
    expected = canonical.key("lab", json.dumps(body, separators=(",", ":"), sort_keys=True).encode(), 0)
    assert judge().key(asked) == judge(system="turn").key(asked) == expected


@pytest.mark.parametrize("wording", WORDINGS)
def test_a_server_that_refuses_a_system_turn_is_asked_without_one_from_then_on(serve: Serve, wording: str) -> None:
    server = serve(refusing(wording), concurrency=8)
    answers = ask(20)
    assert all(answer.content for answer in answers)
    assert [answer.key for answer in answers] == [judge(system="user").key(question(n)) for n in range(20)]
    assert [has_system(call) for call in server.calls] == [True] + [False] * 23
    (turn,) = server.calls[-1].body["messages"]
    assert turn["content"].startswith("Judge. Judge.")
    assert "\n\nQuestion" in turn["content"]
    assert ask(20) == answers
    assert len(server.calls) == 24
    ask(21)
    assert len(server.calls) == 25
    with Journal.at_home() as journal:
        (line,) = journal.ledger()
        assert (line["calls"], line["failed"]) == (24, 1)  # what was refused is not counted as spent


def test_a_server_that_fails_on_a_system_turn_is_as_one_that_refuses_it(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "FIRST_WAIT", 0.01)
    server = serve(lambda asked: error(500, "Jinja Exception") if has_system(asked) else good(asked))
    assert all(answer.content for answer in ask(3))
    assert not any(map(has_system, questions(server)))


def test_a_server_that_takes_one_is_asked_no_more_than_before(serve: Serve) -> None:
    server = serve()
    ask(5)
    assert len(server.calls) == 8
    assert all(map(has_system, server.calls))


def test_what_options_say_is_not_found_out(serve: Serve) -> None:
    server = serve()
    ask(3, system="user")
    assert not any(map(has_system, server.calls))
    with Journal.at_home() as journal:
        found = probe.remembered(judge(system="user"), judge().at(), journal)
    assert found is not None
    assert (found.system, found.shape) == (None, "user")


@pytest.mark.parametrize("wording", WORDINGS)
def test_a_system_turn_that_is_wanted_and_refused_ends_the_stage_and_says_what_to_set(
    serve: Serve, wording: str
) -> None:
    server = serve(refusing(wording))
    said = r"should take instructions in a turn of the system, .* refuses that \(4.*; set system: user$"
    with pytest.raises(GlossaError, match=said) as caught:
        ask(5, system="turn")
    assert "\n" not in str(caught.value)
    assert not questions(server)


def test_a_refusal_of_something_else_is_said_as_it_is(serve: Serve) -> None:
    server = serve(lambda _: error(400, "no such field"))
    with pytest.raises(GlossaError, match=r"but got 400 \(no such field\); mend the options of the model"):
        ask(5)
    assert len(server.calls) == 2
    server.script = lambda _: error(401, "bad key")
    with pytest.raises(GlossaError, match=r"401 \(bad key\)"):
        ask(5)
    assert len(server.calls) == 3


def test_what_was_asked_in_one_shape_stays_in_it_though_the_server_takes_the_other_by_now(serve: Serve) -> None:
    server = serve(refusing("vllm"))
    before = ask(5)
    server.script = good
    runtime_yaml(f"{server.url}/")
    (runtime.home() / "journal.sqlite").rename("kept.sqlite")
    shutil.rmtree(runtime.home())
    runtime.home().mkdir()
    with Journal(Path("kept.sqlite")) as kept, Journal.at_home() as journal:
        journal.add([kept[answer.key or ""] for answer in before], "transcript")
    sent = len(server.calls)
    assert ask(5) == before
    assert len(server.calls) == sent
    ask(6)
    assert [has_system(call) for call in server.calls[sent:]] == [True] * 3 + [False]


def test_what_was_answered_with_a_system_turn_is_not_mixed_with_answers_without(serve: Serve) -> None:
    serve()
    before = ask(5)
    serve(refusing("vllm"))  # at another address
    assert ask(5) == before
    with pytest.raises(GlossaError, match="as it did when it answered before, but its server refuses that now; set"):
        ask(6)
    assert all(answer.content for answer in ask(6, system="user"))


def test_a_request_without_instructions_settles_nothing(serve: Serve) -> None:
    plain = Request((Message("user", "Explain."),))
    server = serve(refusing("role"))
    list(judge(structured="none").answer([plain]))
    answers = list(judge(structured="none").answer([plain, question(1)]))
    assert all(answer.content or answer.reason == "the answer is no JSON" for answer in answers)
    assert not any(map(has_system, questions(server)))


def test_a_wrong_word_is_named() -> None:
    with pytest.raises(GlossaError, match=r"models\.judge\.system should be 'auto', 'turn' or 'user'"):
        load("models.judge", {"provider": "openai", "endpoint": "lab", "model": "m", "system": "none"})


def test_what_is_asked_again_is_asked_in_the_same_shape(serve: Serve) -> None:
    def script(asked: Asked) -> Action:
        is_first = "Question" in str(asked.body) and "could not be used" not in str(asked.body)
        return completion(asked, content="Hm.") if is_first else good(asked)

    server = serve(refusing("vllm", script))
    (answer,) = ask()
    assert answer.content
    assert [has_system(call) for call in questions(server)] == [False, False]
