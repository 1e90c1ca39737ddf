from __future__ import annotations

import json
from typing import Any

import pytest

from stages.errors import GlossaError
from stages.llm.forms import labels
from stages.llm.request import Message, Request
from tests.llm.asking import JUDGE, ask, judge, question
from tests.llm.conftest import Serve
from tests.llm.scripted_server import Action, Asked, error, good, verdicts


def body(request: Request, **options: Any) -> dict[str, Any]:
    return json.loads(judge(**options).body(request))


def test_a_body_holds_what_the_options_say_and_nothing_else() -> None:
    asked = Request((Message("system", "s"), Message("user", "u")), labels.schema(1), logprobs=True, max_tokens=9)
    assert body(asked) == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "temperature": 0,
        "max_tokens": 9,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": labels.schema(1)},
        },
    }
    options = {
        "temperature": None,
        "top_p": 0.9,
        "seed": 5,
        "logprobs": 4,
        "structured": "object",
        "limit": "max_completion_tokens",
        "extra": {"chat_template_kwargs": {"enable_thinking": False}},
    }
    assert body(asked, **options) == {
        "model": "m",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "top_p": 0.9,
        "seed": 5,
        "logprobs": True,
        "top_logprobs": 4,
        "response_format": {"type": "json_object"},
        "max_completion_tokens": 9,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert "response_format" not in body(asked, structured="none")
    assert "response_format" not in body(Request(asked.messages))


def test_whole_numbers_and_defaults_ask_for_the_same() -> None:
    asked = question(1)
    same = [judge(), judge(temperature=0), judge(temperature=0.0), judge(top_p=None, seed=None, extra={})]
    assert len({options.key(asked) for options in same}) == 1
    assert judge(reasks=0).key(asked) == judge().key(asked)


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "other"},
        {"model": "n"},
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"max_tokens": 51},
        {"limit": "max_completion_tokens"},
        {"seed": 0},
        {"structured": "none"},
        {"extra": {"a": 1}},
    ],
)
def test_every_option_that_changes_the_question_changes_the_key(change: dict[str, Any]) -> None:
    assert judge(**change).key(question(1)) != judge().key(question(1))


def test_samples_of_one_chat_are_different_answers() -> None:
    keys = {judge().key(question(1, sample=sample)) for sample in range(3)}
    assert len(keys) == 3
    assert body(question(1, sample=2), seed=10)["seed"] == 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": "http://x/v1"}, "models.judge.endpoint"),
        ({"temperature": -1}, "models.judge.temperature should be greater than or equal to 0"),
        ({"temprature": 0}, "models.judge has no key 'temprature'; did you mean temperature"),
        ({"logprobs": 21}, "models.judge.logprobs should be less than or equal to 20"),
        ({"logprobs": True}, "models.judge.logprobs"),
        ({"extra": {"n": 3}}, "models.judge.extra should not hold n, which has its own place"),
        ({"extra": {"x": float("nan")}}, "models.judge.extra should be JSON"),
        ({"structured": True}, "models.judge.structured should be 'schema', 'object' or 'none'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(GlossaError) as caught:
        judge(**options)
    assert said in str(caught.value)


def test_answers_come_in_the_order_of_the_questions_whatever_the_order_of_completion(serve: Serve) -> None:
    server = serve(lambda asked: good(asked)._replace(delay=0.05 * (len(server.calls) * 7 % 5)), concurrency=16)
    answers = ask(60)
    said = {call.body["messages"][-1]["content"]: verdicts(call) for call in server.calls}
    assert [json.loads(answer.content or "") for answer in answers] == [said[f"Question {n}"] for n in range(60)]
    assert 8 <= server.most_in_flight <= 16


def test_the_same_question_is_asked_once_even_at_the_same_time(serve: Serve) -> None:
    server = serve(lambda asked: good(asked)._replace(delay=0.05))
    answers = list(judge().answer([question(n % 3) for n in range(30)]))
    assert len(server.calls) == 3 + 3
    assert answers == answers[:3] * 10


def test_a_server_that_takes_few_at_once_is_found_out_and_obeyed(serve: Serve) -> None:
    turned_away = []

    def script(asked: Asked) -> Action:
        turned_away.append(server.in_flight > 10)
        return error(429, retry_after="0.1") if turned_away[-1] else good(asked)._replace(delay=0.02)

    server = serve(script, concurrency=128)
    assert all(answer.content for answer in ask(900))
    assert any(turned_away)
    assert sum(turned_away[-300:]) < 60  # at the full 128 it would be nearly all of them


def test_a_million_questions_are_not_drawn_before_they_are_needed(serve: Serve) -> None:
    serve(concurrency=4)
    drawn = 0

    def questions() -> Any:
        nonlocal drawn
        for number in range(1_000_000):
            drawn += 1
            yield question(number)

    answers = judge().answer(questions())
    for _ in range(10):
        next(answers)
    answers.close()  # type: ignore[attr-defined]
    assert drawn <= 10 + 1024 + 4


def test_the_model_that_answered_is_told_and_made_harmless(serve: Serve) -> None:
    def script(asked: Asked) -> Action:
        action = good(asked)
        return action._replace(body=action.body.replace(b'"model": "m"', b'"model": "m\\u001b[31m-0613\\n"'))

    serve(script)
    assert ask()[0].model == "m-0613"


def test_options_are_what_params_yaml_holds() -> None:
    assert judge().model_dump(exclude_defaults=True) == JUDGE
