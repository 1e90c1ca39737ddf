from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages import paths
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.explainers.rows import Row
from stages.rating.questions import Asking, Question, order, questions, sha256_of
from tests.rating.answered import HASHES

ASKING = Asking("one", HASHES["one"], 0, 20, None)
TEXTS = {2: ["a", "b", "c", "d"], 7: ["a"]}


def asked(
    texts: dict[int, list[str]] | None = None, rows: list[Row] | None = None, asking: Asking = ASKING
) -> list[Question]:
    return list(questions(Examples.open(paths.examples("one")), [7, 2], asking, texts, rows or []))


def test_what_a_reader_must_not_see_is_not_there(place: Path) -> None:
    for question in asked(TEXTS):
        found = question.latent
        assert found.facts == {"max": 8.0}
        assert len(found.train) == 3
        assert not any(map(len, (found.test, found.negative, found.validation, found.train_negative)))
        assert found.rate is None


def test_explanations_come_in_an_order_that_only_the_texts_decide(place: Path) -> None:
    shown = [question.row.explanation for question in asked(TEXTS)]
    assert shown[0] == "a"
    assert sorted(shown[1:]) == TEXTS[2]
    assert shown[1:] != TEXTS[2]
    assert [question.row.explanation for question in asked({**TEXTS, 2: TEXTS[2][::-1]})] == shown
    assert [(question.place, question.of) for question in asked(TEXTS)] == [(1, 2), (2, 2), (2, 2), (2, 2), (2, 2)]


def test_what_was_answered_is_not_asked_again(place: Path) -> None:
    first, _ = asked()
    assert not first.answered
    known = first.row._replace(explanation="whatever")
    assert [question.answered for question in asked(rows=[known])] == [True, False]
    for other in ({"by": "ada"}, {"windows_sha256": "0" * 64}, {"latent": 3}):
        assert not any(question.answered for question in asked(rows=[known._replace(**other)]))
    rated = [question.row._replace(rating=2) for question in asked(TEXTS)]
    assert [question.answered for question in asked(TEXTS, rated[1:3])] == [False, True, True, False, False]
    assert not any(question.answered for question in asked(TEXTS, rated, ASKING._replace(windows=2)))


def test_a_label_changes_with_all_that_an_answer_is_about(place: Path) -> None:
    labels = {question.label for question in asked(TEXTS)}
    assert len(labels) == 5
    assert labels == {question.label for question in asked(TEXTS, asking=ASKING._replace(by="ada", seed=3))}
    for other in (ASKING._replace(sha256="5"), ASKING._replace(windows=2)):
        assert labels.isdisjoint(question.label for question in asked(TEXTS, asking=other))


def test_the_order_is_the_same_for_everyone(at_finished: Path) -> None:
    examples = Examples.open(paths.examples("one"))
    found = order(examples, "one", 0, None, None, None)
    assert sorted(found) == examples.kept
    assert found != examples.kept
    assert order(examples, "one", 0, None, 5, None) == found[:5]
    few = found[3:9]
    assert order(examples, "one", 0, sorted(few), None, None) == few
    assert order(examples, "one", 0, None, None, set(few)) == few
    assert order(examples, "one", 1, None, None, None) != found != order(examples, "two", 0, None, None, None)
    assert np.corrcoef(found, np.arange(len(found)))[0, 1] < 0.9


def test_latents_that_nobody_can_explain_are_refused(place: Path) -> None:
    examples = Examples.open(paths.examples("one"))
    for number, why in (
        (10, "latents 0 to 9, but no 10"),
        (3, "latent 3 of one was not sampled"),
        (5, "dropped: never fires"),
    ):
        with pytest.raises(GlossaError, match=why):
            order(examples, "one", 0, [2, number], None, None)
    assert sha256_of(examples) == HASHES["one"]
