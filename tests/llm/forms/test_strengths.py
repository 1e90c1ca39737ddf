import json

import pytest

from stages.llm.forms import answers, labels, strengths
from stages.llm.providers import forced


def test_tokens_are_named_by_letters_however_many_they_are() -> None:
    names = strengths.keys(800)
    assert names[:2] == ["a", "b"]
    assert names[25:28] == ["z", "aa", "ab"]
    assert names[701:704] == ["zz", "aaa", "aab"]
    assert len(set(names)) == 800
    assert all(name.isalpha() for name in names)


def test_the_schema_takes_whole_numbers_from_0_to_10() -> None:
    schema = strengths.schema(2)
    assert answers.satisfies({"a": 0, "b": 10}, schema)
    for wrong in ({"a": 0}, {"a": 0, "b": 11}, {"a": 0, "b": -1}, {"a": 0, "b": 1.0}, {"a": 0, "b": True}):
        assert not answers.satisfies(wrong, schema)
    choices = forced.choices(schema)
    assert choices is not None
    assert choices["b"] == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")


def test_what_a_schema_asks_for_is_recognised() -> None:
    assert strengths.wanted(strengths.schema(3)) == ["a", "b", "c"]
    assert strengths.wanted(labels.schema(3)) == []
    assert strengths.wanted(None) == []


def test_reads_what_was_asked_for() -> None:
    assert strengths.read('{"a": 3, "b": 10}', 2) == ([3, 10], None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no answer"),
        ("3, 10", "is no JSON"),
        ("[3, 10]", "other keys than the tokens"),
        ('{"a": 3}', "other keys than the tokens"),
        ('{"b": 3, "a": 3}', "other keys than the tokens"),
        ('{"a": 3, "b": 11}', "other than whole numbers from 0 to 10"),
        ('{"a": 3, "b": 2.5}', "other than whole numbers from 0 to 10"),
        ('{"a": 3, "b": null}', "other than whole numbers from 0 to 10"),
        (json.dumps({"a": 3, "b": True}), "other than whole numbers from 0 to 10"),
    ],
)
def test_anything_else_is_refused_with_a_reason(content: str | None, reason: str) -> None:
    values, why = strengths.read(content, 2)
    assert values is None
    assert reason in (why or "")
