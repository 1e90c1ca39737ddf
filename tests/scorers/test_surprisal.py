from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import llm, scorers
from stages.errors import GlossaError
from stages.examples.table import LatentExamples, Windows
from stages.llm.providers import local
from stages.llm.providers.local import Row
from stages.scorers import Context, Item
from stages.scorers.surprisal import NEUTRAL, SHOTS, prompt
from stages.scorers.table import OWN
from tests.llm import small_models
from tests.scorers import planted, word_model
from tests.scorers.word_model import WordModel

RIGHT, WRONG = "About a cat.", "About a dog."


class Reader(WordModel):
    """To it a word is as likely as 1 in 8, but one that the description names as 1 in 2; a token is a word."""

    def read_behind(self, head: list[int], rows: Sequence[Row]) -> list[np.ndarray]:
        description = " ".join(self.words[i] for i in head).rsplit("Description: ")[-1].partition("\n")[0]
        self.read.append((description, len(rows)))
        named = [self.words.index(word) for word in ("cat", "dog") if word in description and word in self.words]
        return [
            np.array([math.log(1 / 2 if token in named else 1 / 8) for _, token in row.wanted], np.float32)
            for row in rows
        ]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    found = Reader()
    monkeypatch.setattr(llm, "load", lambda key, entry: found)
    return found


load, run = partial(word_model.load, "surprisal"), partial(word_model.run, "surprisal")


def test_the_value_is_the_gain_in_log_probability_over_the_neutral_text(reader: Reader) -> None:
    examples = planted.latent(7, 1)
    examples.test.tokens[0] = 1  # eight cats
    found = run(RIGHT, WRONG, examples=examples)
    values = found.verdicts["value"].to_pylist()
    # A cat is 4 times as likely, and every other word as likely as before; no window has a dog.
    assert values[:3] == pytest.approx([8 * math.log(4), math.log(4), math.log(4)], abs=1e-5)
    assert values[20:] == pytest.approx([0] * 60, abs=1e-5)
    assert found.metric.name == "auroc"
    assert found.scores["score"].to_pylist() == [1.0, 0.5]
    assert found.scores["n"].to_pylist() == [40, 40]
    assert found.facts == {"model": "transformers:reader", "shots": SHOTS}


def test_the_mean_over_tokens_is_a_measure_of_its_own(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """One active window with one cat in 8 words; two others of 2 words, of which one has a cat."""
    examples = planted.latent(7, 1, n=1)
    tokens = np.array([[0] * 6 + [1, 3], [0] * 6 + [3, 3]], np.int32)  # tokens 0 show nothing here
    negative = Windows(
        np.array([90, 98]), np.zeros(2, np.int8), tokens, np.zeros((2, 8), np.float32), ["random", "random"]
    )
    vocabulary = planted.vocabulary()
    monkeypatch.setattr(type(vocabulary), "text", lambda self, ids: "".join(self.strings[i] for i in ids if i))
    item = Item(LatentExamples(7, examples.facts, examples.train, examples.test, negative), RIGHT, OWN)
    found = load().score([item], Context(vocabulary, 0))
    # Each text begins with a space, so that there is an empty word at its beginning.
    assert found.verdicts["value"].to_pylist() == pytest.approx([math.log(4), math.log(4), 0])
    measures = {row["metric"]: row for row in found.measures.to_pylist() if row["subset"] == "all"}
    assert found.scores["score"].to_pylist() == [0.75]  # a tie and a win
    assert measures["auroc"]["value"] == 0.75
    assert measures["auroc_per_token"]["value"] == 0.5  # log 4 / 9 is less than log 4 / 3 and more than nothing
    assert measures["auroc_per_token"]["low"] is not None


def test_the_neutral_text_is_read_once_for_all_explanations_of_a_latent(reader: Reader) -> None:
    examples = planted.latent(7, 1)
    examples.negative.tokens[:] = 3  # twenty times the same text
    run(RIGHT, WRONG, examples=examples)
    n = len({tuple(row) for row in (*examples.test.tokens, *examples.negative.tokens)})
    assert n <= 21
    assert sorted(reader.read) == sorted((text, n) for text in (NEUTRAL, RIGHT, WRONG))


@given(st.permutations(range(20)))
def test_the_order_of_windows_does_not_matter(order: list[int]) -> None:
    examples = planted.latent(7, 1)
    part = examples.test
    moved = Windows(part.starts[order], part.deciles[order], part.tokens[order], part.activations[order], part.kinds)
    found = []
    for test in (part, moved):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(llm, "load", lambda key, entry: Reader())
            found.append(
                run(RIGHT, examples=LatentExamples(7, examples.facts, examples.train, test, examples.negative))
            )
    assert found[0] == found[1]


def test_a_prompt_ends_where_the_sentences_begin() -> None:
    whole = prompt("About\n a  cat.")
    assert whole.endswith("\n\nDescription: About a cat.\nSentences:\n")
    assert whole.count("Description: ") == whole.count("Sentences:\n") == SHOTS + 1
    assert prompt("x", 2).count("Description: ") == 3
    assert whole.startswith(prompt("x", 2).partition("Description: x")[0])
    assert NEUTRAL not in whole
    shortest = prompt("x", 0)
    assert shortest.count("\n") == 4


@pytest.mark.parametrize("damage", ["no test", "no negatives", "special tokens only", "empty", "long", "foreign"])
def test_degenerate_latents_have_values_or_reasons(reader: Reader, damage: str) -> None:
    examples = planted.latent(7, 1)
    text = {"empty": "", "long": "cat " * 3000, "foreign": "Слово 猫 قطة"}.get(damage, RIGHT)
    test, negative = examples.test, examples.negative
    if damage == "no test":
        test = Windows.none()
    if damage == "no negatives":
        negative = Windows.none()
    if damage == "special tokens only":
        test.tokens[:, 0] = 0
        test.tokens[:] = test.tokens[:, :1]
    found = run(text, examples=LatentExamples(7, examples.facts, examples.train, test, negative))
    for row in found.scores.to_pylist():
        assert (row["score"] is None) == (row["reason"] is not None)
        assert row["n"] + row["unscored"] == len(test) + len(negative)


def test_a_window_without_text_is_unscored(monkeypatch: pytest.MonkeyPatch, reader: Reader) -> None:
    examples = planted.latent(7, 1)
    vocabulary = planted.vocabulary()
    monkeypatch.setattr(type(vocabulary), "texts", lambda self, rows: ["" if row[0] == 3 else " sun" for row in rows])
    found = load().score([Item(examples, RIGHT, OWN)], Context(vocabulary, 0))
    lost = [row for row in found.verdicts.to_pylist() if row["value"] is None]
    assert lost
    assert {row["reason"] for row in lost} == {"the window has no text"}
    assert found.scores["unscored"].to_pylist() == [len(lost)]


def test_a_long_explanation_is_unscored_and_a_prompt_that_never_fits_a_mistake(reader: Reader) -> None:
    reader.limit = len(reader.head(prompt("one two three four"))) + 8  # type: ignore[assignment]
    found = run("many words " * 20, RIGHT)
    own, other = found.scores.to_pylist()
    assert (own["score"], own["n"], own["unscored"]) == (None, 0, 40)
    assert other["score"] == 1.0
    reason = found.verdicts["reason"][0].as_py()
    assert reason.startswith("the explanation with the window has ")
    assert reason.endswith(f" tokens, but the model reads at most {reader.limit:,}")
    reader.limit = 20  # type: ignore[assignment]
    with pytest.raises(
        GlossaError, match=r"reads at most 20 tokens, but .* has \d+; set shots below 9, or use another"
    ):
        run(RIGHT)
    reader.limit = 5  # type: ignore[assignment]
    with pytest.raises(GlossaError, match=r"has \d+; use another model"):
        run(RIGHT, shots=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": {"provider": "openai", "endpoint": "lab", "model": "m"}}, "with provider: transformers"),
        ({"model": {"provider": "pattern"}}, "with provider: transformers"),
        ({"shots": 10, "model": {"provider": "transformers"}}, "shots should be less than or equal to 9, found 10"),
        ({}, r"scorers\.x\.model is missing"),
    ],
)
def test_a_mistake_in_params_is_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GlossaError, match=message):
        scorers.load("x", {"kind": "surprisal", **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.make(tmp_path_factory.mktemp("models") / "tiny", None)


def test_values_are_those_of_the_model_for_every_window_alone(folder: Path) -> None:
    model = local.load(str(folder), None, "float32")
    found = run(RIGHT, WRONG, model=str(folder), shots=1)
    examples, vocabulary = planted.latent(7, 1), planted.vocabulary()
    texts = [vocabulary.text(row) for row in (*examples.test.tokens, *examples.negative.tokens)]
    expected = []
    for description in (RIGHT, WRONG):
        for text in texts:
            likely = [model.log_probabilities([prompt(one, 1)], [text])[0][1].sum() for one in (description, NEUTRAL)]
            expected.append(float(likely[0] - likely[1]))
    assert found.verdicts["value"].to_pylist() == pytest.approx(expected, abs=2e-3)
    assert len(set(np.round(expected, 3))) > 40


def test_neither_memory_nor_company_changes_a_value(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [Item(planted.latent(number, 1 + number % 2), RIGHT, OWN) for number in (1, 2)]
    scorer, context = load(model=str(folder), shots=1), Context(planted.vocabulary(), 0)
    both = scorer.score(items, context).verdicts
    assert scorer.score(items[1:], context).verdicts == both.slice(40)
    monkeypatch.setattr(local.load(str(folder), None, "float32").headroom, "tokens", 300)
    little = scorer.score(items, context).verdicts
    assert little["value"].to_pylist() == pytest.approx(both["value"].to_pylist(), abs=2e-3)
