from __future__ import annotations

import json
import math
from typing import Any

import pytest

from stages.llm.forms import answers, labels, probabilities
from stages.llm.reply import Reply
from stages.llm.request import Answer, Probability
from tests.llm.asking import ask, judge, question
from tests.llm.conftest import Serve
from tests.llm.scripted_server import completion, spelt


def token(text: str | bytes, logprob: float = -0.1, **top: float) -> dict[str, Any]:
    """A token with its alternatives, given as probabilities, as servers send it."""
    spelt = text if isinstance(text, bytes) else text.encode()
    likely = [{"token": name, "logprob": math.log(p), "bytes": [*name.encode()]} for name, p in top.items()]
    return {"token": "?", "logprob": logprob, "bytes": [*spelt], "top_logprobs": likely}


def read(content: str, tokens: list[dict[str, Any]]) -> dict[str, Probability]:
    span = answers.read(Reply(content, "stop"), labels.schema(content.count(":"))).span
    assert span is not None
    return probabilities.read(content, span, tokens)


def value(probability: Probability) -> float:
    assert probability.low == pytest.approx(probability.high)
    return probability.low


def test_the_share_of_true_among_both_labels() -> None:
    tokens = [token('{"a'), token('":'), token(" true", **{" true": 0.6, " false": 0.2, "x": 0.1}), token("}")]
    assert value(read('{"a": true}', tokens)["a"]) == pytest.approx(0.75)


def test_spellings_of_a_label_count_together() -> None:
    top = {" true": 0.3, "true": 0.2, " tr": 0.1, "false": 0.1, " false,": 0.1, "falsehood": 0.1, "t rue": 0.05}
    assert value(read('{"a":true}', [token('{"a":'), token("true", **top), token("}")])["a"]) == pytest.approx(0.75)


def test_a_label_may_begin_inside_of_a_token() -> None:
    top = {'": true': 0.3, '": false': 0.1, " true": 0.5, '":': 0.1}
    assert value(read('{"a": true}', [token('{"a'), token('": true', **top), token("}")])["a"]) == pytest.approx(0.75)


def test_a_label_may_take_several_tokens() -> None:
    tokens = [token('{"a": '), token("t", t=0.4, f=0.4), token("rue", rue=1.0), token("}")]
    assert value(read('{"a": true}', tokens)["a"]) == pytest.approx(0.5)


def test_each_key_has_its_own() -> None:
    content = '{"a": true, "b": false, "c": true}'
    tokens = [
        token('{"a":'),
        token(" true,", **{" true,": 0.9, " false": 0.1}),
        token(' "b":'),
        token(" false,", **{" true,": 0.2, " false,": 0.8}),
        token(' "c":'),
        token(" true}", **{" true}": 0.6, " false}": 0.4}),
    ]
    found = read(content, tokens)
    assert {key: round(value(bounds), 6) for key, bounds in found.items()} == {"a": 0.9, "b": 0.2, "c": 0.6}


def test_a_missing_label_leaves_bounds() -> None:
    sure = [token('{"a": '), token("true", **{"true": 0.9, "yes": 0.04, "1": 0.03}), token("}")]
    # What is not reported is 0.03; all of it, or none, may be on false.
    assert read('{"a": true}', sure)["a"] == pytest.approx(Probability(0.9 / 0.93, 1.0))
    unsure = [token('{"a": '), token("false", false=0.3, no=0.2), token("}")]
    assert read('{"a": false}', unsure)["a"] == pytest.approx(Probability(0.0, 0.5 / 0.8))


def test_the_token_that_was_taken_counts_even_if_it_is_not_among_the_likeliest() -> None:
    tokens = [token('{"a": '), token("true", math.log(0.01), **{"```": 0.5, "Sure": 0.4}), token("}")]
    assert read('{"a": true}', tokens)["a"] == pytest.approx(Probability(0.01 / 0.1, 1.0))


def test_the_answer_is_found_among_tokens_that_the_content_lacks() -> None:
    tokens = [token("```json\n"), token('{"a": '), token("true", true=0.8, false=0.2), token("}"), token("\n```")]
    assert value(read('{"a": true}', tokens)["a"]) == pytest.approx(0.8)
    thought = [token('{"a": '), token("true", true=0.1, false=0.9), token("}"), token("</think>"), *tokens]
    assert value(read('{"a": true}', thought)["a"]) == pytest.approx(0.8)


def test_characters_of_several_bytes_may_be_split_over_tokens() -> None:
    euro = "\u20ac".encode()
    tokens = [token(euro[:1]), token(euro[1:]), token('{"a": '), token("true", true=0.5, false=0.5)]
    content = '\u20ac{"a": true}'
    assert value(read(content, [*tokens, token("}")])["a"]) == pytest.approx(0.5)


def test_tokens_that_are_not_the_answer_say_nothing() -> None:
    assert read('{"a": true}', [token('{"a":'), token(" false", false=1.0), token("}")]) == {}
    assert read('{"a": true}', []) == {}
    assert read('{"a": true}', [token('{"a": '), token("true", -math.inf), token("}")]) == {}


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (None, None),
        (Probability(0.7, 0.7), 0.7),
        (Probability(0.985, 1.0), 0.985),
        (Probability(0.0, 0.019), 0.019),
        (Probability(0.1, 0.2), None),
        (Probability(0.0, 1.0), None),
    ],
)
def test_bounds_that_are_close_are_a_probability(bounds: Probability | None, expected: float | None) -> None:
    assert probabilities.value(bounds) == expected


def test_a_judge_with_logprobs_tells_how_sure_it_was(serve: Serve) -> None:
    server = serve()
    (answer,) = ask_with_logprobs()
    assert answer.probabilities is not None
    said = json.loads(answer.content or "")
    assert {key: round(value(bounds), 6) for key, bounds in answer.probabilities.items()} == {
        key: 0.8 if verdict else 0.2 for key, verdict in said.items()
    }
    assert all("logprobs" in call.body for call in server.calls)
    plain = len(server.calls)
    assert ask(logprobs=2)[0].probabilities is None  # not wanted: another request
    assert "logprobs" not in server.calls[plain].body


@pytest.mark.parametrize(
    "broken", [[], [{"token": "x"}], [{"token": "x", "logprob": None}], "x", [1], [{"logprob": 9}]]
)
def test_without_sensible_logprobs_an_answer_has_no_probability(serve: Serve, broken: Any) -> None:
    serve(lambda asked: completion(asked, tokens=broken if "Question" in str(asked.body) else None))
    (answer,) = ask_with_logprobs()
    assert answer.content is not None
    assert answer.probabilities == {}


def ask_with_logprobs() -> list[Answer]:
    return list(judge(logprobs=2).answer([question(0, logprobs=True)]))


def test_spelt_is_what_it_says() -> None:
    assert "".join(one["token"] for one in spelt('{"a": true}', 2)) == '{"a": true}'
