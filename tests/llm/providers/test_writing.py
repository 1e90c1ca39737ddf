"""The built-in judge finds in what the built-in writer writes what an explanation asks for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import llm
from stages.corpus.lexis import PLACES, SHAPES
from stages.llm.forms import labels
from stages.llm.providers import writing
from stages.llm.providers.pattern import judge, read
from stages.llm.request import Message, Request

WORDS = ["cat", "is", "-ing", "pre-", "-at-", "x1"]
ANYWHERE = [None, "code examples", "inline code", "parameter descriptions"]


@given(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(["the", "of", "self"]), max_size=2, unique=True),
    st.sampled_from(ANYWHERE),
)
def test_what_is_written_fits_the_explanation(targets: list[str], before: list[str], place: str | None) -> None:
    text = "Fires on " + " or ".join(f'"{target}"' for target in targets)
    text += " after " + " or ".join(f'"{word}"' for word in before) if before else ""
    reading = read(f"{text} in {place}." if place else f"{text}.")
    written = writing.texts(reading, 6)
    assert len(written) == 6
    assert all(judge(reading, one) for one in written), written


@pytest.mark.parametrize(
    "text", ['Fires on "(" or "..."', 'Fires on "name" in web addresses', 'Fires on "----" in underlined headings']
)
def test_marks_and_narrow_places_are_written_too(text: str) -> None:
    reading = read(text)
    assert all(judge(reading, one) for one in writing.texts(reading, 6))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_can_be_written(shape: str) -> None:
    reading = read(f"Fires on {shape}.")
    assert shape in reading.shapes
    assert SHAPES[shape].search(f" {writing.SHAPED[shape]}")
    assert len(writing.texts(reading, 3)) == 3


@pytest.mark.parametrize("place", PLACES)
def test_every_place_can_be_written(place: str) -> None:
    text = writing.PLACED[place].format("----" if place == "underlined headings" else "name")
    assert PLACES[place].search(text)


def test_texts_come_under_the_keys_that_are_asked_for() -> None:
    schema = {"type": "object", "properties": {key: {"type": "string"} for key in "abc"}, "required": list("abc")}
    said = Message("user", 'Explanation: "Fires on \\"cat\\"."\n\nKeys: "a", "b", "c"')
    model = llm.load("x", {"provider": "pattern"})
    (answer,) = model.answer([Request((said,), schema)])
    assert answer.content is not None
    assert all("cat" in text for text in json.loads(answer.content).values())
    assert list(json.loads(answer.content)) == ["a", "b", "c"]
    (verdicts,) = model.answer([Request((said,), labels.schema(2))])
    assert verdicts.content == "{}", "nothing is written where verdicts are asked for"
    (nothing,) = model.answer([Request((Message("user", 'Explanation: "It is."\n\nKeys: "a"'),), schema)])
    assert (nothing.content, nothing.reason) == (None, "the explanation names nothing to write")


def test_only_an_object_of_texts_is_to_be_written() -> None:
    assert writing.wanted(None) == []
    assert writing.wanted(labels.schema(2)) == []
    assert writing.wanted({"type": "object", "properties": {"a": {"type": "string"}}}) == ["a"]
