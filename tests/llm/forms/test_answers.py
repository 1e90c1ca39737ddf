from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.llm.forms import answers, labels
from stages.llm.reply import Reply
from tests.llm.asking import ask, judge, question
from tests.llm.conftest import Serve
from tests.llm.scripted_server import Action, Asked, completion, good

TWO = labels.schema(2)
GOOD = '{"a": true, "b": false}'
VALUE = {"a": True, "b": False}


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        f"  {GOOD}\n",
        '{"b": false, "a": true}',
        f"```json\n{GOOD}\n```",
        f"Here you are: {GOOD}. I hope that this helps {{you}}.",
        f'<think>\nPerhaps {{"a": false, "b": false}}? No.\n</think>\n\n{GOOD}',
        f'I begin with no tag {{"a": false, "b": false}}</think>{GOOD}',
        f"{GOOD}\n{GOOD}",
        f"{{not json}} {GOOD}",
        f'{{"answer": 1}} {GOOD}',
    ],
)
def test_what_stands_around_an_answer_is_tolerated(content: str) -> None:
    found = answers.read(Reply(content, "stop"), TWO)
    assert (found.value, found.reason) == (VALUE, None)
    assert found.span is not None
    assert json.loads(content[slice(*found.span)]) == VALUE


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "the answer is empty"),
        (" \n", "the answer is empty"),
        ("a: true, b: false", "the answer is no JSON"),
        ('{"a": true, "b": fal', "the answer is no JSON"),
        ("[true, false]", "the answer is no JSON"),
        ('{"a": true}', "the answer has another form than asked for"),
        ('{"a": true, "b": false, "c": true}', "the answer has another form than asked for"),
        ('{"a": true, "b": "false"}', "the answer has another form than asked for"),
        ('{"a": true, "b": 0}', "the answer has another form than asked for"),
        ('{"a": true, "b": null}', "the answer has another form than asked for"),
        ('{"a": true, "b": NaN}', "the answer is no JSON"),
        ('{"a": true, "b": false, "b": true}', "the answer is no JSON"),
        (f'{{"verdicts": {GOOD}}}', "the answer has another form than asked for"),
        (f'{GOOD} or rather {{"a": true, "b": true}}', "the answer says different things"),
        ("<think>so many", "the answer is all reasoning"),
        (f"<think>{GOOD}", "the answer is all reasoning"),
        (f"{GOOD} <think> wait", "the answer is all reasoning"),
        (f"<think>{GOOD}</think>", "the answer is all reasoning"),
        ("{" * 50_000, "the answer is no JSON"),
        ('{"a":' * 2_000, "the answer is no JSON"),
    ],
)
def test_what_is_no_answer_is_not_made_one(content: str | None, reason: str) -> None:
    assert answers.read(Reply(content, "stop"), TWO) == answers.Read(reason=reason)


@pytest.mark.parametrize(
    ("reply", "reason", "final"),
    [
        (Reply(GOOD, "length"), "the answer was cut off at max_tokens", False),
        (Reply("", "length"), "the answer was cut off at max_tokens", False),
        (Reply(GOOD, "content_filter"), "the model refused", True),
        (Reply(None, "stop", refused=True), "the model refused", True),
    ],
)
def test_cut_off_and_refused_are_no_answers_whatever_was_said(reply: Reply, reason: str, final: bool) -> None:
    assert answers.read(reply, TWO) == answers.Read(reason=reason, final=final)


def test_free_text_is_what_follows_the_reasoning() -> None:
    assert answers.read(Reply("<think>{hm}</think> Fires on cats. ", "stop"), None).value == "Fires on cats."
    assert answers.read(Reply("Fires on cats.", None), None).value == "Fires on cats."
    assert answers.read(Reply("<thinking>Fires on cats.", "stop"), None).reason == "the answer is all reasoning"


VALUES: dict[str, Any] = {
    "string": st.text(max_size=4),
    "boolean": st.booleans(),
    "integer": st.integers(),
    "number": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    "null": st.none(),
}


@st.composite
def pairs(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, Any], Any]:
    """A schema and a value that satisfies it."""
    kind = draw(st.sampled_from([*VALUES, "enum", *(["object", "array"] if depth else [])]))
    if kind == "enum":
        choices = draw(st.lists(st.text(max_size=3), min_size=1, max_size=3))
        return {"enum": choices}, draw(st.sampled_from(choices))
    if kind == "object":
        parts = draw(st.dictionaries(st.text("abc", min_size=1, max_size=2), pairs(depth - 1), max_size=3))
        properties = {key: schema for key, (schema, _) in parts.items()}
        schema = {"type": "object", "properties": properties, "required": list(parts), "additionalProperties": False}
        return schema, {key: value for key, (_, value) in parts.items()}
    if kind == "array":
        schema, value = draw(pairs(depth - 1))
        return {"type": "array", "items": schema}, [value] * draw(st.integers(0, 3))
    return {"type": kind}, draw(VALUES[kind])


@given(pairs())
def test_a_value_of_the_form_satisfies_it_and_is_read_back(pair: tuple[dict[str, Any], Any]) -> None:
    schema, value = pair
    assert answers.satisfies(value, schema)
    whole = {"type": "object", "properties": {"x": schema}, "required": ["x"], "additionalProperties": False}
    content = f"Sure:\n{json.dumps({'x': value})}\nDone."
    assert answers.read(Reply(content, "stop"), whole).value == {"x": value}


@given(pairs(), pairs())
def test_another_key_or_a_missing_one_never_satisfies(one: tuple[dict[str, Any], Any], two: tuple[Any, Any]) -> None:
    schema = {"type": "object", "properties": {"x": one[0]}, "required": ["x"], "additionalProperties": False}
    assert not answers.satisfies({"x": one[1], "y": two[1]}, schema)
    assert not answers.satisfies({}, schema)
    assert not answers.satisfies([one[1]], schema)


@pytest.mark.parametrize(("value", "kind"), [(True, "integer"), (1, "boolean"), (1.5, "integer"), (True, "number")])
def test_no_type_passes_for_another(value: Any, kind: str) -> None:
    assert not answers.satisfies(value, {"type": kind})


@pytest.mark.usefixtures("unprobed")
def test_an_answer_that_cannot_be_read_is_asked_for_again_and_its_reason_told(serve: Serve) -> None:
    def script(asked: Asked) -> Action:
        said = asked.body["messages"][-1]["content"]
        if "could not be used" not in said:
            return completion(asked, content="I would say so.")
        if "Answer 2" not in said:
            return completion(asked, content='{"a": true}')
        return good(asked)

    server = serve(script)
    (answer,) = ask()
    assert answer.content is not None
    first, second, third = (call.body["messages"] for call in server.calls)
    assert first[0] == second[0] == third[0]
    assert second[1]["content"] == (
        "Question 0\n\n(An earlier answer could not be used: the answer is no JSON. Now give the JSON object that was asked "
        "for, complete and alone.)"
    )
    assert "(Answer 2 could not be used: the answer has another form" in third[1]["content"]
    assert ask() == [answer]
    assert len(server.calls) == 3


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize(
    ("said", "asked", "reason"),
    [
        ({"content": "No idea."}, 3, "the answer is no JSON"),
        ({"content": '{"a": true, "b": true', "finish": "length"}, 3, "the answer was cut off at max_tokens"),
        ({"content": "", "refusal": "I can't help with that."}, 1, "the model refused"),
        ({"content": "", "finish": "content_filter"}, 1, "the model refused"),
    ],
)
def test_in_the_end_it_is_unscored_with_a_reason(serve: Serve, said: dict[str, Any], asked: int, reason: str) -> None:
    server = serve(lambda one: completion(one, **said))
    (answer,) = ask()
    assert (answer.content, answer.reason) == (None, reason)
    assert len(server.calls) == asked
    ask()
    assert len(server.calls) == asked


@pytest.mark.usefixtures("unprobed")
def test_a_seed_differs_with_every_question_asked_again(serve: Serve) -> None:
    server = serve(lambda asked: completion(asked, content="?"))
    ask(seed=7, reasks=1)
    assert [call.body["seed"] for call in server.calls] == [7, 1007]


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("[explanation]: Rivers.", "Rivers."),
        ("I think of rivers.\n\n[explanation]: Names of rivers\n\nI hope that this helps.", "Names of rivers"),
        ("[explanation]: a draft\nNo.\n[explanation]: Lakes", "Lakes"),
        ("**[Explanation]:** Seas", "Seas"),
        ("[EXPLANATION]:\nOn the next line", "On the next line"),
        ("<think>[explanation]: no</think>[explanation]: *args and **kwargs", "*args and **kwargs"),
        ('[explanation]: {"a": "brace"}', '{"a": "brace"}'),
    ],
)
def test_a_tagged_answer_is_the_last_line_with_the_tag(content: str, value: str) -> None:
    assert answers.read(Reply(content, "stop"), None, "[explanation]:") == (value, None, False, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("Rivers.", 'the answer has no line with "[explanation]:"'),
        ("explanation: Rivers.", 'the answer has no line with "[explanation]:"'),
        ("[explanation]: ", 'nothing stands behind "[explanation]:"'),
        ("[explanation]: Rivers.\n**[explanation]:**\n", 'nothing stands behind "[explanation]:"'),
    ],
)
def test_an_answer_without_its_tag_is_none(content: str, reason: str) -> None:
    assert answers.read(Reply(content, "stop"), None, "[explanation]:").reason == reason


@pytest.mark.usefixtures("unprobed")
def test_a_tagged_answer_is_asked_for_again(serve: Serve) -> None:
    server = serve(lambda asked: completion(asked, content="Hm." if len(server.calls) < 2 else "[explanation]: Rivers"))
    request = question(1)
    tagged = request.__class__(request.messages, tag="[explanation]:")
    (answer,) = judge(structured="none").answer([tagged])
    assert answer.content == "Rivers"
    told = server.calls[1].body["messages"][1]["content"]
    assert told.endswith(
        '(An earlier answer could not be used: the answer has no line with "[explanation]:". Now give the line that begins '
        'with "[explanation]:".)'
    )


HOSTILE = {
    "nested": '{"a":' * 200_000,
    "lists": '{"a":[' * 150_000,
    "braces": "{" * 2**20,
    "unfinished": '{"a":1,' * 150_000,
    "escaped": '{"\\"' * 200_000,
    "quotes": '{"' * 500_000,
    "blanks": "{ " * 500_000,
    "twice": '{"a":1,"a":' * 100_000,
    "empty": "{}" * 500_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_that_looks_like_answers_is_read_in_seconds(name: str) -> None:
    text = HOSTILE[name]
    before = time.process_time()
    assert answers.read(Reply(text, "stop"), TWO).reason == "the answer is no JSON"
    assert time.process_time() - before < 10  # each once took minutes; now tenths of a second


def test_an_answer_behind_much_that_looks_like_one_is_found() -> None:
    text = '{"x": y} ' * 2_000 + "z" * 800_000 + GOOD
    found = answers.read(Reply(text, "stop"), TWO)
    assert found.value == VALUE
    assert found.span is not None
    assert text[slice(*found.span)] == GOOD


PIECES = st.sampled_from(
    ["{", "}", '"', "a", ":", "true", ",", " ", "[", "]", "\\", '{"a":true}', '{"b":1,"b":2}', "\n"]
)


@given(st.lists(PIECES, max_size=60).map("".join))
def test_objects_are_those_that_reading_from_every_brace_finds(text: str) -> None:
    found, place = [], text.find("{")
    while place >= 0:
        try:
            value, end = answers.DECODER.raw_decode(text, place)
            found.append((value, (place, end)))
        except ValueError:
            end = place + 1
        place = text.find("{", end)
    assert answers._objects(text) == found
