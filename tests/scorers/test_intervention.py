"""Latents that are wired to output tokens by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from stages import llm, scorers
from stages.coders.edits import NO_DECODER
from stages.errors import GlossaError
from stages.examples.table import LatentExamples, Windows
from stages.llm.providers.local import Row
from stages.llm.rehearsal import NothingAskedError, Rehearsal
from stages.scorers import Item, Scored
from stages.scorers.continuations import NO_PROMPT, NO_STRENGTH
from stages.scorers.intervention import SHOTS, TOO_LONG, drops
from stages.scorers.intervention import Judge as Reader
from stages.scorers.table import OWN, SHUFFLED
from tests.scorers import planted, wired

MODEL = {"provider": "transformers", "model": "somewhere"}
KINDS = ("clean", "intervened", "ablated")
TEXTS = ('Makes "sun" more likely.', 'Makes "sea" more likely.')


def items(*examples: LatentExamples) -> list[Item]:
    """Every latent with its own explanation and the other one's."""
    return [
        Item(one, text, control)
        for one in examples
        for control, text in ((OWN, TEXTS[one.latent]), (SHUFFLED, TEXTS[1 - one.latent]))
    ]


def latents() -> list[LatentExamples]:
    return [planted.latent(number, fires_on) for number, fires_on in enumerate(wired.FIRES)]


def run(
    monkeypatch: pytest.MonkeyPatch, *examples: LatentExamples, own: Any = None, judge: Any = None, **options: Any
) -> Scored:
    monkeypatch.setattr(llm, "load", lambda key, entry: judge or wired.Judge())
    scorer = scorers.load("x", {"kind": "intervention", "model": MODEL, "per_quintile": 3, **options})
    return scorer.score(items(*examples or latents()), wired.context(monkeypatch, own))


def measures(found: Scored, control: str = OWN) -> dict[tuple[str, str], list[float]]:
    columns: dict[tuple[str, str], list[float]] = {}
    for row in found.measures.to_pylist():
        if row["explanation"] == control:
            columns.setdefault((row["metric"], row["subset"]), []).append(row["value"])
    return columns


def test_a_wired_latent_is_found_and_another_ones_explanation_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, per_quintile=4, new_tokens=16)
    assert found.metric.name == "surprisal_drop"
    scores = {(row["explanation"], row["latent"]): row for row in found.scores.to_pylist()}
    for latent in (0, 1):
        own, other = scores[OWN, latent], scores[SHUFFLED, latent]
        assert own["score"] > 1
        assert own["low"] > max(0, other["high"])
        assert own["n"] >= 10
        assert own["unscored"] == 0
    assert found.metric.chance == 0
    measured = measures(found)
    assert all(value == pytest.approx(1.0, rel=0.1) for value in measured["divergence", "all"])
    assert measured["converged", "all"] == [1.0, 1.0]
    assert max(measured["surprisal_drop", "ablation"]) < 0.3 * min(measured["surprisal_drop", "all"])


def test_detection_misses_what_intervention_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    detection = scorers.load("x", {"kind": "detection", "model": {"provider": "pattern"}})
    found = detection.score(items(*latents()), wired.context(monkeypatch))
    assert all(score < 0.65 for score in found.scores["score"].to_pylist())


def test_the_verdicts_are_what_the_score_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch)
    rows = found.verdicts.to_pylist()
    for score in found.scores.to_pylist():
        own = [row for row in rows if (row["explanation"], row["latent"]) == (score["explanation"], score["latent"])]
        value = {(row["window"], row["kind"]): row["value"] for row in own}
        starts = sorted({row["window"] for row in own})
        assert len(own) == 3 * len(starts)
        drop = np.mean([value[start, "clean"] - value[start, "intervened"] for start in starts])
        assert score["score"] == pytest.approx(drop)
        assert {row["decile"] for row in own} <= set(range(1, 11))
        texts = {(row["window"], row["kind"]): row["text"] for row in own}
        written = wired.WRITES[score["latent"]]
        count = {kind: sum(texts[start, kind].count(planted.WORDS[written]) for start in starts) for kind in KINDS}
        assert count["intervened"] > 2 * count["clean"] > 0


@pytest.mark.parametrize("where", ["config", "generation_config"])
def test_a_text_ends_where_the_subject_ends_one(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """As chat models end turns: with tokens that are special in no conversation, and of which there may be several."""
    subject, turn = wired.subject(), wired.WRITES[0]
    getattr(subject.model, where).eos_token_id = [planted.WORDS.index(" the"), turn]
    monkeypatch.setattr(llm, "load", lambda key, entry: wired.Judge())
    scorer = scorers.load("x", {"kind": "intervention", "model": MODEL, "per_quintile": 3, "new_tokens": 16})
    found = scorer.score(items(latents()[0]), wired.context(monkeypatch, read=subject))
    texts = {(row["window"], row["kind"]): row["text"] for row in found.verdicts.to_pylist()}
    assert texts
    before = run(monkeypatch, latents()[0], per_quintile=3, new_tokens=16).verdicts.to_pylist()
    shorter = 0
    for row in before:  # the same draws, up to there
        text = texts[row["window"], row["kind"]]
        assert row["text"].startswith(text)
        shorter += len(text) < len(row["text"])
    assert shorter > len(before) / 2


def test_the_score_by_hand() -> None:
    nats = np.array([[10.0, 7.0, 10.0], [12.0, 11.0, 13.0], [8.0, 9.0, 8.0]])
    drop, ablation = drops(nats, np.random.default_rng(0))
    assert drop.value == pytest.approx((3 + 1 - 1) / 3)
    assert ablation.value == pytest.approx((0 - 1 + 0) / 3)
    assert drop.low is not None
    assert drop.high is not None
    assert -1 <= drop.low <= 1 <= drop.high <= 3


def test_a_latent_does_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    together, alone = run(monkeypatch), run(monkeypatch, latents()[1])
    mine = [row for row in together.scores.to_pylist() if row["latent"] == 1]
    for one, other in zip(mine, alone.scores.to_pylist(), strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert one["n"] == other["n"]
    monkeypatch.setattr("stages.subject.steering.LOGITS", 1)
    in_parts = run(monkeypatch)
    assert in_parts.scores["score"].to_pylist() == pytest.approx(together.scores["score"].to_pylist(), abs=1e-5)


def test_a_window_that_fires_at_once_is_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, other = latents()
    fires = np.full_like(dense.test.activations, 2.0)
    dense = replace(dense, test=replace(dense.test, activations=fires))
    none = replace(other, test=Windows.none())
    found = run(monkeypatch, dense, none)
    assert [row["reason"] for row in found.scores.to_pylist()] == [NO_PROMPT] * 4
    assert found.scores["score"].null_count == 4


def test_what_fires_earlier_when_it_is_read_alone_is_cut_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache says that latent 0 fires on the last token; without its context it fires on the third already."""
    (one, _) = latents()
    tokens = np.tile(np.array([5, 6, 1, 7, 5, 6, 7, 5], np.int32), (20, 1))
    activations = np.zeros(tokens.shape, np.float32)
    activations[:, -1] = 1
    one = replace(one, test=replace(one.test, tokens=tokens, activations=activations))
    judge = wired.Judge()
    read: list[list[int]] = []

    def note(self: wired.Counting, head: list[int], rows: list[Row]) -> list[np.ndarray]:
        read.extend(row.ids for row in rows)
        return [np.zeros(1)] * len(rows)

    monkeypatch.setattr(wired.Counting, "read_behind", note)
    run(monkeypatch, one, judge=judge, shots=0)
    words = {number: word for word, number in judge.counting.words.items()}
    assert read
    for ids in read:
        passage = " ".join(words[token] for token in ids)
        assert passage.startswith("Passage : on the cat")


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (wired.coder(W_dec=None), NO_DECODER),
        (wired.coder(W_dec=torch.zeros(2, wired.WIDTH)), NO_STRENGTH),
    ],
)
def test_a_coder_that_cannot_be_edited_is_unscored(monkeypatch: pytest.MonkeyPatch, own: Any, reason: str) -> None:
    found = run(monkeypatch, own=own)
    assert found.scores["reason"].to_pylist() == [reason] * 4
    assert found.scores["score"].null_count == 4
    assert found.measures["reason"].to_pylist() == [reason] * 4
    assert found.verdicts.num_rows == 0


def test_a_passage_loses_its_beginning_to_fit_and_a_long_explanation_is_unscored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = wired.Judge()
    longest = max(len(text.split()) for text in run(monkeypatch, judge=judge, shots=0).verdicts["text"].to_pylist())
    assert longest > 12
    judge.counting.limit = 40  # 28 for the question and the explanation
    found = run(monkeypatch, judge=judge, shots=0)
    assert found.scores["score"].null_count == 0
    assert max(len(text.split()) for text in found.verdicts["text"].to_pylist()) == 12
    judge.counting.limit = 20
    found = run(monkeypatch, judge=judge, shots=0)
    assert found.scores["reason"].to_pylist() == [TOO_LONG] * 4
    assert set(found.verdicts["reason"].to_pylist()) == {TOO_LONG}
    assert found.scores["unscored"].to_pylist()[0] > 0


def test_texts_that_leave_no_room_for_a_prompt_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        GlossaError, match=r"^the subject wired reads 32 tokens, .* the 31 that are to be written; lower"
    ):
        run(monkeypatch, new_tokens=31)


def test_the_worked_examples_precede_the_question() -> None:
    counting = wired.Counting()
    whole, few = Reader(counting, SHOTS), Reader(counting, 1)  # type: ignore[arg-type]
    assert whole.beginning.count("Passage:\n") == SHOTS + 1
    assert few.beginning.count("Passage:\n") == 2
    assert whole.beginning.startswith(few.beginning.rpartition("Passage:\n")[0])
    assert whole.after.endswith('unusual amount of "')
    assert "{" not in whole.beginning + whole.after


def test_a_rehearsal_does_not_load_the_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.examples.origin.load", lambda p, name: pytest.fail("the subject was loaded"))
    scorer = scorers.load("x", {"kind": "intervention", "model": MODEL})
    with llm.standing_in(Rehearsal({}, id)), pytest.raises(NothingAskedError):
        scorer.score(items(*latents()), scorers.Context(planted.vocabulary(), 0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": {"provider": "pattern"}}, r"scorers\.x\.model should be a model with provider: transformers"),
        ({"divergence": 0}, r"scorers\.x\.divergence"),
        ({"shots": SHOTS + 1}, r"scorers\.x\.shots should be less than or equal to 4, found 5"),
    ],
)
def test_a_mistake_in_params_is_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GlossaError, match=message):
        scorers.load("x", {"kind": "intervention", "model": MODEL, **options})
