from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import llm, scorers
from stages.errors import GlossaError
from stages.examples.table import LatentExamples, Windows
from stages.llm.providers import local, tree
from stages.llm.providers.local import Row
from stages.scorers import Context, Item
from stages.scorers.pmi import prompt, question, template
from stages.scorers.table import OWN
from tests.llm import small_models
from tests.scorers import planted, word_model
from tests.scorers.word_model import WordModel

RIGHT, WRONG = "About a cat.", "About a dog."


class Reader(WordModel):
    """To it a word is as likely as 1 in 8, but one that it has read as 1 in 2; a token is a word."""

    def split(self, text: str) -> Sequence[str]:
        return text.replace(".", "").split()

    def likely(self, head: list[int], tail: list[int]) -> np.ndarray:
        return np.array([math.log(1 / 2 if token in head else 1 / 8) for token in tail], np.float32)

    def read_behind(self, head: list[int], rows: Sequence[Row]) -> list[np.ndarray]:
        self.read.append(("alone", len(rows)))
        return [self.likely(head, [token for _, token in row.wanted]) for row in rows]

    def read_trees(self, groups: Sequence[Sequence[Row]]) -> list[list[np.ndarray]]:
        self.read.append(("behind windows", sum(map(len, groups))))
        heads = [[row.ids[: row.wanted[0][0]] for row in group] for group in groups]
        return [
            [self.likely(head, [token for _, token in row.wanted]) for head, row in zip(of_window, group, strict=True)]
            for of_window, group in zip(heads, groups, strict=True)
        ]


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    found = Reader()
    monkeypatch.setattr(llm, "load", lambda key, entry: found)
    monkeypatch.setattr(tree, "read", Reader.read_trees)
    return found


load, run = partial(word_model.load, "pmi"), partial(word_model.run, "pmi")


def test_the_value_is_the_gain_in_log_probability_over_no_window(reader: Reader) -> None:
    examples = planted.latent(7, 1)
    found = run("cat", "dog", examples=examples)
    values = found.verdicts["value"].to_pylist()
    # Where a cat was read, the word is 4 times as likely; no window has a dog.
    assert values == pytest.approx([math.log(4)] * 20 + [0] * 60, abs=1e-6)
    assert found.metric.name == "auroc"
    assert found.scores["score"].to_pylist() == [1.0, 0.5]
    assert found.scores["n"].to_pylist() == [40, 40]
    assert found.facts == {"model": "transformers:reader"}
    by_decile = [row for row in found.measures.to_pylist() if row["subset"].startswith("decile")]
    assert [row["value"] for row in by_decile] == [1.0] * 10 + [0.5] * 10


def test_what_is_likely_without_a_window_gains_nothing(reader: Reader) -> None:
    """The words of the question are as likely before as after a window, so an explanation made of them tells nothing."""
    found = run("common text common", "text cat")
    assert found.verdicts["value"].to_pylist()[:40] == pytest.approx([0] * 40)
    assert found.verdicts["value"].to_pylist()[40:] == pytest.approx([math.log(4)] * 20 + [0] * 20, abs=1e-6)


def test_every_window_is_read_once_for_all_explanations_and_every_explanation_once_without(reader: Reader) -> None:
    examples = planted.latent(7, 1)
    examples.negative.tokens[:] = 3  # twenty times the same text
    run(RIGHT, WRONG, examples=examples)
    n = len({tuple(row) for row in (*examples.test.tokens, *examples.negative.tokens)})
    assert reader.read == [("alone", 2), ("behind windows", 2 * n)]
    reader.read.clear()
    items = [Item(planted.latent(number, 1), text, OWN) for number, text in ((1, RIGHT), (2, WRONG), (3, RIGHT))]
    load().score(items, Context(planted.vocabulary(), 0))
    assert reader.read[0] == ("alone", 2)


def test_as_many_windows_are_read_as_asked_for_whatever_the_explanation(reader: Reader) -> None:
    sample = planted.latent(7, 1)
    negative = planted.windows(20, None, 500, 3)
    negative.kinds[:5] = ["surface"] * 5
    examples = LatentExamples(7, sample.facts, sample.train, sample.test, negative, rate=0.01)
    shown = []
    for text in (RIGHT, WRONG):
        rows = run(text, examples=examples, active=10, silent=3).verdicts.to_pylist()
        assert sorted(row["decile"] for row in rows if row["active"]) == list(range(1, 11))
        kinds = [row["kind"] for row in rows if not row["active"]]
        assert sorted(kinds) == ["random"] * 3 + ["surface"] * 3
        shown.append([row["window"] for row in rows])
    assert shown[0] == shown[1]
    whole = run(RIGHT, examples=examples)
    assert len(run(RIGHT, examples=examples, active=99, silent=99).verdicts) == len(whole.verdicts) == 40


def test_a_prompt_ends_where_the_explanation_begins() -> None:
    assert prompt(template(), " A cat {x} sat") == f"Text:\n A cat {{x}} sat\n\n{question(template())}"
    assert question(template()).endswith("kind:")
    assert "\n" not in question(template())


@pytest.mark.parametrize("damage", ["no test", "no negatives", "special tokens only", "empty", "long", "foreign"])
def test_degenerate_latents_have_values_or_reasons(reader: Reader, damage: str) -> None:
    examples = planted.latent(7, 1)
    text = {"empty": " \n", "long": "cat " * 3000, "foreign": "Слово 猫 قطة"}.get(damage, RIGHT)
    test, negative = examples.test, examples.negative
    if damage == "no test":
        test = Windows.none()
    if damage == "no negatives":
        negative = Windows.none()
    if damage == "special tokens only":
        test.tokens[:] = 0
    found = run(text, examples=LatentExamples(7, examples.facts, examples.train, test, negative))
    for row in found.scores.to_pylist():
        assert (row["score"] is None) == (row["reason"] is not None)
        assert row["n"] + row["unscored"] == len(test) + len(negative)
    reasons = set(found.verdicts["reason"].to_pylist())
    if damage == "empty":
        assert reasons == {"the explanation has no text"}
    if damage == "special tokens only":
        assert "the window has no text" in {
            row["reason"] for row in found.verdicts.to_pylist() if row["active"]
        } or all(planted.vocabulary().text(row) for row in test.tokens)


def test_a_window_without_text_is_unscored(monkeypatch: pytest.MonkeyPatch, reader: Reader) -> None:
    vocabulary = planted.vocabulary()
    monkeypatch.setattr(type(vocabulary), "texts", lambda self, rows: ["" if row[0] == 3 else " sun" for row in rows])
    found = load().score([Item(planted.latent(7, 1), RIGHT, OWN)], Context(vocabulary, 0))
    lost = [row for row in found.verdicts.to_pylist() if row["value"] is None]
    assert lost
    assert {row["reason"] for row in lost} == {"the window has no text"}
    assert found.scores["unscored"].to_pylist() == [len(lost)]


def test_a_long_explanation_is_unscored_and_a_prompt_that_never_fits_a_mistake(reader: Reader) -> None:
    reader.limit = len(reader.head(prompt(template(), "a " * planted.SIZE))) + 4  # type: ignore[assignment]
    found = run("many words " * 20, "cat")
    own, other = found.scores.to_pylist()
    assert (own["score"], own["n"], own["unscored"]) == (None, 0, 40)
    assert other["score"] == 1.0
    reason = found.verdicts["reason"][0].as_py()
    assert reason.startswith("the window with the explanation has ")
    assert reason.endswith(f" tokens, but the model reads at most {reader.limit:,}")
    reader.limit = 15  # type: ignore[assignment]
    with pytest.raises(GlossaError, match=r"reads at most 15 tokens, but the prompt of pmi with a window has \d+; use"):
        run(RIGHT)


def test_a_window_is_unscored_with_the_explanation_alone_for_which_it_is_too_long(reader: Reader) -> None:
    examples = planted.latent(7, 1)
    examples.test.tokens[:, 4:] = 0  # half as many words in the text
    vocabulary = planted.vocabulary()
    shown = [
        len(reader.head(prompt(template(), vocabulary.text(row))))
        for row in (*examples.test.tokens, *examples.negative.tokens)
    ]
    reader.limit = max(shown)  # type: ignore[assignment]
    found = run("cat", " ".join(["dog"] * (max(shown) - min(shown) + 1)), examples=examples).verdicts.to_pylist()
    own, other = found[:40], found[40:]
    assert all(row["value"] is not None for row in own)
    assert [row["value"] is not None for row in other] == [n == min(shown) for n in shown]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": {"provider": "openai", "endpoint": "lab", "model": "m"}}, "with provider: transformers"),
        ({"model": {"provider": "pattern"}}, "with provider: transformers"),
        ({"model": {"provider": "transformers"}, "shots": 1}, r"scorers\.x has no key 'shots'"),
        ({}, r"scorers\.x\.model is missing"),
    ],
)
def test_a_mistake_in_params_is_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GlossaError, match=message):
        scorers.load("x", {"kind": "pmi", **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.make(tmp_path_factory.mktemp("models") / "tiny", None)


def test_values_are_those_of_the_model_for_every_window_and_explanation_alone(folder: Path) -> None:
    model = local.load(str(folder), None, "float32")
    examples, vocabulary = planted.latent(7, 1), planted.vocabulary()
    examples.test.tokens[::2, 5:] = 0  # texts of different lengths
    found = run(RIGHT, WRONG, model=str(folder), examples=examples)
    texts = [vocabulary.text(row) for row in (*examples.test.tokens, *examples.negative.tokens)]
    assert len({len(model.head(prompt(template(), text))) for text in texts}) > 3
    expected = []
    for explanation in (RIGHT, WRONG):
        for text in texts:
            before = (prompt(template(), text), question(template()))
            likely = [model.log_probabilities([one], [f" {explanation}"])[0][1].sum() for one in before]
            expected.append(float(likely[0] - likely[1]))
    assert found.verdicts["value"].to_pylist() == pytest.approx(expected, abs=1e-4)
    assert len(set(np.round(expected, 3))) > 40


def test_neither_memory_nor_company_changes_a_value(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [Item(planted.latent(number, 1 + number % 2), RIGHT, OWN) for number in (1, 2)]
    scorer, context = load(model=str(folder)), Context(planted.vocabulary(), 0)
    both = scorer.score(items, context).verdicts
    assert scorer.score(items[1:], context).verdicts == both.slice(40)
    monkeypatch.setattr(local.load(str(folder), None, "float32").headroom, "tokens", 300)
    little = scorer.score(items, context).verdicts
    assert little["value"].to_pylist() == pytest.approx(both["value"].to_pylist(), abs=1e-4)
