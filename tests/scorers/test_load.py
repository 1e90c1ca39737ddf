"""What a file of a scorer has to have."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stages import registry, scorers
from stages.errors import GlossaError
from stages.scorers import Scorer

WHOLE = """
from typing import ClassVar, Literal
from stages.scorers import Metric, Scorer
from stages.scorers.metrics import AUROC

class Options(Scorer):
    METRIC: ClassVar[Metric] = AUROC
    kind: Literal["mine"]
    def judge(self, items, context): ...
    def summarise(self, judged, context): ...
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(registry.SCORERS, "mine", "a_scorer_of_mine")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "a_scorer_of_mine", raising=False)
    return tmp_path / "a_scorer_of_mine.py"


def test_one_that_is_whole_is_loaded(mine: Path) -> None:
    mine.write_text(WHOLE)
    assert scorers.load("x", {"kind": "mine", "latents": 3}).latents == 3


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("    METRIC: ClassVar[Metric] = AUROC\n", "should have METRIC, see CONTRIBUTING.md"),
        ("    def judge(self, items, context): ...\n", "should have judge, see"),
        ("(Scorer)", r"should have a class Options\(Scorer\), see CONTRIBUTING.md"),
    ],
)
def test_what_is_missing_is_named(mine: Path, left_out: str, said: str) -> None:
    mine.write_text(WHOLE.replace(left_out, ""))
    with pytest.raises(GlossaError, match=rf"a_scorer_of_mine\.py {said}"):
        scorers.load("x", {"kind": "mine"})


@pytest.mark.parametrize("kind", registry.SCORERS)
def test_all_of_ours_say_what_their_scores_are(kind: str) -> None:
    unit = registry.options(registry.SCORERS, kind, "kind", Scorer)
    assert unit.METRIC.label
    assert unit.METRIC.chance is None or 0 <= unit.METRIC.chance < 1
