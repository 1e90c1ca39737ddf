from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages import llm
from stages.llm.forms import labels
from stages.llm.journal.store import Journal
from stages.llm.rehearsal import TEXT, UNANSWERED, Noted, NothingAskedError, Rehearsal
from stages.llm.request import Answer, Message, Request
from tests.llm.asking import JUDGE, ask, question, runtime_yaml
from tests.llm.conftest import Serve
from tests.llm.scripted_server import completion, good


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rehearse(requests: list[Request], placeholders: bool = False, **options: Any) -> tuple[list[Answer], list[Noted]]:
    noted: list[Noted] = []
    with Journal.at_home() as journal, llm.standing_in(Rehearsal(journal, noted.append, placeholders)):
        return list(llm.load("model", {**JUDGE, **options}).answer(requests)), noted


def test_nobody_is_asked_and_everything_noted() -> None:
    runtime_yaml("http://127.0.0.1:1/v1")
    answers, noted = rehearse([question(number) for number in range(3)])
    assert answers == [Answer(None, UNANSWERED)] * 3
    assert [json.loads(one.question.body)["messages"][-1]["content"] for one in noted] == [
        f"Question {number}" for number in range(3)
    ]
    assert all(one.call is None for one in noted)


def test_what_the_journal_knows_is_answered_as_it_was(serve: Serve) -> None:
    serve()
    expected = ask(3)
    answers, noted = rehearse([question(number) for number in range(4)])
    assert answers[:3] == expected
    assert answers[3].content is None
    assert [one.key for one in noted][:3] == [answer.key for answer in expected]
    assert [one.call is not None for one in noted] == [True, True, True, False]


def test_what_could_not_be_read_is_noted_as_it_would_be_asked_again(serve: Serve) -> None:
    server = serve(lambda asked: completion(asked, content="Hm.") if len(server.calls) > 3 else good(asked))
    ask(1, reasks=0)
    (answer,), noted = rehearse([question(0)])
    assert answer.reason == UNANSWERED
    assert [one.question.number for one in noted] == [0, 1000]
    assert b"could not be used" in noted[1].question.body
    (answer,), noted = rehearse([question(0)], reasks=0)
    assert (answer.reason, len(noted)) == ("the answer is no JSON", 1)


def test_placeholders_have_the_form_that_was_asked_for_and_tell_each_other_apart() -> None:
    explanation = {"type": "object", "properties": {"why": {"type": "string"}, "level": {"enum": [3, 4]}}}
    text = Request((Message("user", "Explain."),))
    other = Request((Message("user", "Explain another."),))
    (verdicts, said, first, second, again), noted = rehearse(
        [question(1), Request(text.messages, explanation), text, other, text], placeholders=True
    )
    assert labels.read(verdicts.content, 2).verdicts == [False, False]
    value = json.loads(said.content or "")
    assert value["why"].startswith(TEXT)
    assert value["level"] == 3
    assert first.content is not None
    assert first.content != second.content
    assert again.content == first.content, "which is known by then"
    assert not any(one.assumed for one in noted)
    _, noted = rehearse([Request((Message("user", f"Judge: {first.content}"),))], placeholders=True)
    assert noted[0].assumed


def test_options_can_be_read_and_the_built_in_judge_answers_itself() -> None:
    with Journal.at_home() as journal, llm.standing_in(Rehearsal(journal, lambda noted: None)):
        model: Any = llm.load("model", {**JUDGE, "temperature": 0.5, "structured": "object"})
        assert (model.temperature, model.structured) == (0.5, "object")
        pattern = llm.load("model", {"provider": "pattern"})
    assert type(pattern) is type(llm.load("model", {"provider": "pattern"}))
    assert type(llm.load("model", JUDGE)) is not type(model)


def test_a_model_that_would_compute_something_else_is_not_loaded() -> None:
    with Journal.at_home() as journal, llm.standing_in(Rehearsal(journal, lambda noted: None)):
        model: Any = llm.load("model", {"provider": "transformers", "model": "no/such"})
    with pytest.raises(NothingAskedError):
        model.log_probabilities(["a"], ["b"])
