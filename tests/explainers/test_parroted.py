"""Whether an answer repeats what the model was shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from stages.explainers import asking, default, parroted, prompt
from stages.explainers.asking import Question
from stages.explainers.form import Form
from stages.llm.request import Answer, Message, Request
from stages.llm.server.exchange import messages

PROMPT = default.Options.PROMPT.read_text("utf-8")
WORKED = prompt.worked(PROMPT)
NESS = '" and stood in the dark«ness» of the hall"'


def test_the_worked_examples_are_those_of_the_prompt() -> None:
    assert [text[:8] for text in WORKED] == ["Fixed ph", "The endi", "Units of"]
    assert prompt.worked(PROMPT, 1) == WORKED[:1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Units of measurement directly after a number.", parroted.EXAMPLE),
        ("units of measurement, directly after a number", parroted.EXAMPLE),
        ("Units of measurement directly after the number.", parroted.EXAMPLE),
        ("The latent fires on: Units of measurement directly after a number. It is strong.", parroted.EXAMPLE),
        ('The ending "-ness" of words.', parroted.EXAMPLE),
        ("(An earlier answer could not be used: it is empty. Now give the answer alone.)", parroted.TOLD),
        ("Units of measurement", None),
        ("Numbers of years after a century.", None),
        ("Business and happiness.", None),
        ("Names of towns", None),
    ],
)
def test_what_repeats_an_example_is_told_from_what_does_not(text: str, why: str | None) -> None:
    assert parroted.parroted(text, WORKED, '" three towns"') == why


def test_a_latent_of_what_an_example_quotes_may_be_explained_so() -> None:
    assert parroted.parroted('Words that end in "-ness".', WORKED, NESS) is None


def test_what_a_model_is_told_again_is_known() -> None:
    for request in (Request((Message("user", "x"),)), Request((Message("user", "x"),), {"type": "object"})):
        for again in (1, 2):
            remark = messages(request, again, "it is empty")[-1]["content"]
            assert parroted.parroted(remark, (), "") == parroted.TOLD


def test_texts_that_say_the_same_are_counted() -> None:
    assert parroted.alike(["Towns.", "towns", None, None, "Rivers", " TOWNS!"]) == 3


class Parrot:
    """Repeats the last worked example as long as it sees one."""

    def __init__(self, otherwise: str) -> None:
        self.otherwise = otherwise
        self.asked: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            self.asked.append(request)
            said = [one.content for one in request.messages if one.role == "assistant"]
            yield Answer(said[-1].partition(" ")[2] if said else self.otherwise, key=f"key {len(self.asked)}")


def questions(n: int, shots: int = 3) -> list[Question]:
    turns = prompt.read(PROMPT, Form(structured=False), shots=shots)
    asked = Request((*turns, Message("user", 'Text 1: " in« Paris» today"')), tag="[explanation]:")
    return [Question(number, replace(asked, sample=number)) for number in range(n)]


def test_a_parrot_is_asked_again_without_examples() -> None:
    model = Parrot("Names of towns.")
    found = list(asking.ask(model, questions(3), Form(structured=False), WORKED))
    assert [(one.latent, one.text, one.request) for one in found] == [
        (number, "Names of towns.", f"key {4 + number}") for number in range(3)
    ]
    assert found[0].evidence["asked_again"] == WORKED[-1]
    assert [len(request.messages) for request in model.asked] == [8] * 3 + [2] * 3
    assert model.asked[-1].messages == (model.asked[0].messages[0], model.asked[0].messages[-1])


def test_one_that_repeats_all_the_same_explains_nothing() -> None:
    found = list(asking.ask(Parrot(WORKED[2]), questions(2), Form(structured=False), WORKED))
    assert [(one.text, one.reason) for one in found] == [(None, parroted.EXAMPLE)] * 2
    assert found[0].evidence == {"repeated": WORKED[2], "asked_again": WORKED[2]}


def test_without_worked_examples_nothing_is_asked_twice() -> None:
    model = Parrot("Names of towns.")
    found = list(asking.ask(model, questions(2, shots=0), Form(structured=False)))
    assert [one.text for one in found] == ["Names of towns."] * 2
    assert [len(request.messages) for request in model.asked] == [2, 2]


def test_doubts_are_said_with_their_numbers() -> None:
    assert parroted.doubts({"explained": 0, "alike": 0, "asked_again": 0}) == []
    assert parroted.doubts({"explained": 21, "alike": 4, "asked_again": 0}) == []
    assert parroted.doubts({"explained": 20, "alike": 4, "asked_again": 1}) == [
        "4 say what another says",
        "1 repeated a worked example and was asked again without",
    ]
