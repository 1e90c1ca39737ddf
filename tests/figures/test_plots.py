from __future__ import annotations

import json
from pathlib import Path

import pytest

from stages.figures import plots
from stages.results.reading import Results
from tests.folders import tree


def test_records_by_hand(found: Results) -> None:
    scores = plots.score_records(found)
    assert len(scores) == 8 + 2
    assert scores[0] == {
        "coder": "one",
        "explainer": "pattern",
        "scorer": "detection",
        "metric": "balanced accuracy",
        "score": 0.8,
        "low": pytest.approx(0.7),
        "high": pytest.approx(0.9),
        "floor": 0.5,
        "chance": 0.5,
    }
    assert scores[4] | {"low": None, "high": None} == {
        "coder": "one",
        "explainer": "",
        "scorer": "intruder",
        "metric": "accuracy",
        "score": 0.75,
        "low": None,
        "high": None,
        "floor": 0.2,
        "chance": 0.2,
    }
    assert plots.similarity_records(found)[1] == {
        "a": "one",
        "b": "two",
        "explainer": "llm",
        "relation": "same place",
        "layer_distance": 1,
        "explanation_cosine": None,
        "low": None,
        "high": None,
        "floor": None,
        "decoder_cosine": None,
        "decoder_low": None,
        "decoder_high": None,
        "decoder_cosine_random": None,
    }


def test_the_folder_is_the_same_every_time(found: Results, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plots.write(tmp_path / "a", found)
    plots.write(tmp_path / "b", found)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    names = [
        "deciles.json",
        "deciles.png",
        "deciles.svg",
        "distance.png",
        "distance.svg",
        "measures.json",
        "overview.png",
        "overview.svg",
        "scores.json",
        "similarity.json",
        "similarity.png",
        "similarity.svg",
    ]
    assert list(tree(tmp_path / "a")) == names
    assert isinstance(json.loads((tmp_path / "a" / "scores.json").read_text()), list)
    deciles = json.loads((tmp_path / "a" / "deciles.json").read_text())
    assert [record["scorer"] for record in deciles] == (["detection"] * 4 + ["intruder"] * 2) * 2
    assert deciles[1]["metric"] == "sensitivity"
    assert deciles[1]["value"] == 0.75


def test_an_explainer_that_has_nothing_but_dashes_is_left_out() -> None:
    pairs = [{"explainer": "few", "explanation_cosine": None}, {"explainer": "many", "explanation_cosine": None}]
    pairs += [{"explainer": "many", "explanation_cosine": 0.0}]
    assert plots.of_matched(pairs) == pairs[1:]
    assert plots.of_matched(pairs[:1]) == []
