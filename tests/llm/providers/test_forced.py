from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path

import pytest
import torch

from stages.llm.forms import labels, probabilities
from stages.llm.providers import forced, local
from stages.llm.providers.forced import Form, Value
from stages.llm.providers.local import Local
from tests.llm import small_models

PROMPTS = ["The quick brown fox", "Is it", "Explanation: the lazy dog jumps over the quick brown fox"]


@pytest.fixture(scope="module", params=["whole", "letters"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Local:
    """A model to which true and false are a token each, and one to which they are several, of different number."""
    texts = small_models.TEXTS if request.param == "whole" else ["zz tru zz fal zz tru zz fal"]
    folder = small_models.make(tmp_path_factory.mktemp("models") / request.param, texts=texts)
    found = local.load(str(folder), None, "float32")
    lengths = [len(found.after(":", f" {label}")) for label in ("true", "false")]
    assert lengths == ([1, 1] if request.param == "whole" else [2, 3])
    return found


def log_probability(model: Local, ids: list[int], tokens: list[int]) -> float:
    """Of ``tokens`` behind ``ids``, token by token, each by a forward pass of its own."""
    total = 0.0
    for place, token in enumerate(tokens):
        with torch.inference_mode():
            logits = model.model(torch.tensor([ids + tokens[:place]])).logits[0, -1].double()
        total += float(logits[token] - logits.logsumexp(0))
    return total


def answered(model: Local, prompt: str, n: int) -> tuple[str, list[float]]:
    """The answer and, for every label, the log-probabilities of false and true; by hand."""
    ids, text, found = model.encode(prompt), "", []
    for place, key in enumerate(labels.KEYS[:n]):
        fixed = (", " if place else "{") + f'"{key}":'
        ids += model.after("\n" if not place else " false", fixed)
        text += fixed
        both = [log_probability(model, ids, model.after(fixed, f" {label}")) for label in ("false", "true")]
        label = "true" if both[1] > both[0] else "false"
        ids += model.after(fixed, f" {label}")
        text += f" {label}"
        found.append(both)
    return text + "}", found


def test_values_are_those_of_a_loop_that_scores_both_labels_in_turn(model: Local) -> None:
    choices = forced.choices(labels.schema(4))
    assert choices is not None
    forms = [Form(model, model.encode(prompt), choices, 0, [0.0] * 4) for prompt in PROMPTS]
    texts = set()
    for prompt, form, values in zip(PROMPTS, forms, forced.fill_in(model, forms), strict=True):
        text, expected = answered(model, prompt, 4)
        texts.add(text)
        assert form.text(values) == text
        assert json.loads(text).keys() == {"a", "b", "c", "d"}
        for value, both in zip(values, expected, strict=True):
            assert value.log_probabilities == pytest.approx(both, abs=5e-5)
    assert any("true" in text for text in texts)
    assert any("false" in text for text in texts)


def test_what_is_reported_reads_as_probabilities(model: Local) -> None:
    choices = forced.choices(labels.schema(3))
    assert choices is not None
    form = Form(model, model.encode("Is it"), choices, 0, [0.0] * 3)
    (values,) = forced.fill_in(model, [form])
    text = form.text(values)
    read = probabilities.read(text, (0, len(text)), form.reported(values))
    assert list(read) == ["a", "b", "c"]
    for found, value in zip(read.values(), values, strict=True):
        false, true = map(math.exp, value.log_probabilities)
        assert found.low == found.high == pytest.approx(true / (true + false))


def test_every_history_is_reached_by_its_draws(model: Local) -> None:
    """Above temperature 0 the values behind a drawn one are read anew."""
    choices = forced.choices(labels.schema(3))
    assert choices is not None
    histories = list(product((0, 1), repeat=3))
    forms = [Form(model, model.encode("Is it"), choices, 1.0, [0.999999 * i for i in history]) for history in histories]
    found = forced.fill_in(model, forms)
    assert [tuple(value.chosen for value in values) for values in found] == histories
    for history, values in zip(histories, found, strict=True):
        alone = Form(model, model.encode("Is it"), choices, 1.0, [0.999999 * i for i in history])
        assert forced.fill_in(model, [alone])[0] == [
            Value(value.chosen, pytest.approx(value.log_probabilities, abs=5e-5)) for value in values
        ]
    last = {tuple(round(value, 4) for value in values[2].log_probabilities) for values in found}
    assert len(last) == 4


def test_temperature_flattens() -> None:
    form = Form.__new__(Form)
    form._temperature = 2.0
    likely = [math.log(0.2), math.log(0.8)]
    share = 0.2**0.5 / (0.2**0.5 + 0.8**0.5)
    assert form._choose(likely, share - 1e-6) == 0
    assert form._choose(likely, share + 1e-6) == 1
    form._temperature = 0
    assert form._choose(likely, 0.0) == 1
    assert form._choose([-1.0, -1.0], 0.9) == 0


def test_values_of_a_list_are_chosen_as_well(model: Local) -> None:
    schema = {
        "type": "object",
        "properties": {"odd": {"type": "string", "enum": ["a", "b", "c"]}, "level": {"enum": [0, 10]}},
        "required": ["odd", "level"],
        "additionalProperties": False,
    }
    choices = forced.choices(schema)
    assert choices == {"odd": ('"a"', '"b"', '"c"'), "level": ("0", "10")}
    form = Form(model, model.encode("Is it"), choices, 0, [0.0] * 2)
    (values,) = forced.fill_in(model, [form])
    answer = json.loads(form.text(values))
    assert answer["odd"] in ("a", "b", "c")
    assert answer["level"] in (0, 10)
    ids = model.encode("Is it") + model.after("\n", '{"odd":')
    expected = [log_probability(model, ids, model.after('{"odd":', f' "{letter}"')) for letter in "abc"]
    assert values[0].log_probabilities == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "array", "items": {"type": "boolean"}},
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"type": "boolean"}, "why": {"type": "string"}}},
    ],
)
def test_an_answer_with_an_open_value_is_not_forced(schema: dict | None) -> None:
    assert forced.choices(schema) is None


def test_what_can_not_be_is_a_number_still(model: Local) -> None:
    choices = forced.choices(labels.schema(1))
    assert choices is not None
    form = Form(model, model.encode("Is it"), choices, 0, [0.0])
    wanted = [len(row.wanted) for row in form.rows()]
    values = form.fill_in([[-math.inf] * n for n in wanted])
    assert values == [Value(0, [forced.LEAST, forced.LEAST])]
    json.dumps(form.reported(values), allow_nan=False)


def test_the_length_is_that_of_what_goes_through(model: Local, tmp_path: Path) -> None:
    choices = forced.choices(labels.schema(2))
    assert choices is not None
    form = Form(model, model.encode("Is it"), choices, 0, [0.0] * 2)
    assert all(len(row.ids) <= len(form) for row in form.rows())


def test_a_spelling_that_begins_another_counts_only_where_it_ends() -> None:
    """1 is followed by 0 in a quarter of all cases, and by 00 in a half of these."""
    spelt = [[7], [1], [1, 0], [1, 0, 0], [2, 0]]
    half = math.log(0.5)
    read = [[half], [math.log(0.4)], [math.log(0.4), math.log(0.25)], [math.log(0.4), math.log(0.25), half], [-3, -1]]
    found = forced.told_apart(spelt, read)
    assert [math.exp(value) for value in found] == pytest.approx([0.5, 0.3, 0.05, 0.05, math.exp(-4)])
    certain = forced.told_apart([[1], [1, 0]], [[half], [half, 0.0]])
    assert certain == pytest.approx([half + forced.LEAST, half])
