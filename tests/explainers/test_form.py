from __future__ import annotations

import json

import pytest

from stages.explainers.form import TAG, Form, refused
from stages.llm.forms import answers
from stages.llm.reply import Reply

ALL = [Form(structured, thinks) for structured in (True, False) for thinks in (True, False)]


@pytest.mark.parametrize("form", ALL)
def test_a_worked_example_is_in_the_form_that_is_read(form: Form) -> None:
    said = form.said('Words before "the".', "1. They end in -s. 2. A noun follows.")
    found = answers.read(Reply(said, "stop"), form.schema, form.tag)
    content = found.value if form.schema is None else json.dumps(found.value)
    text, analysis = form.read(content)
    assert text == 'Words before "the".'
    assert analysis == ("1. They end in -s. 2. A noun follows." if form.thinks and form.structured else None)


@pytest.mark.parametrize("form", ALL)
def test_what_is_told_names_what_is_read(form: Form) -> None:
    assert (f'"{"explanation"}"' in form.instruction) == form.structured
    assert (TAG in form.instruction) == (not form.structured)
    if form.schema:
        assert all(f'"{key}"' in form.instruction for key in form.schema["required"])


def test_reasoning_comes_before_the_explanation_even_when_keys_are_sorted() -> None:
    schema = Form(True, True).schema
    assert schema is not None
    assert list(json.loads(json.dumps(schema, sort_keys=True))["properties"]) == ["analysis", "explanation"]


def test_an_explanation_is_one_short_line() -> None:
    assert Form(True).read('{"explanation": " Names\\n\\u001b[31mof\\u202e  rivers "}') == ("Names of rivers", None)
    text, _ = Form(True).read(json.dumps({"explanation": "river " * 400}))
    assert len(text) <= 500
    assert text.endswith("…")


@pytest.mark.parametrize(
    "text", ["", "...", "—", "N/A", "none.", '"None"', "Unknown", "string", "?!", "No explanation."]
)
def test_an_empty_explanation_is_none(text: str) -> None:
    assert refused(text) == "the model gave an empty explanation"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\u2019m sorry, I can\u2019t assist",
        "I cannot determine a pattern.",
        "I am unable to explain this latent.",
        "Sorry, but I cannot do that.",
        "As an AI language model, I do not",
    ],
)
def test_a_refusal_is_no_explanation(text: str) -> None:
    assert refused(text) == "the model declined to explain"


@pytest.mark.parametrize(
    "text",
    [
        '"I cannot" and other refusals',
        "Apologies, such as sorry and excuse me.",
        "Sorry and other words of regret",
        "I as a pronoun before a verb of feeling",
        "I can, as in I can do it",
        "None of the above, in quizzes",
        "Русские названия рек",
        "川の名前",
        "0",
    ],
)
def test_what_only_resembles_a_refusal_is_an_explanation(text: str) -> None:
    assert refused(text) is None
