from __future__ import annotations

import json
from dataclasses import replace

import pytest

from stages import params, paths
from stages.errors import GlossaError
from stages.outputs import dumps
from stages.results import reading, similarity
from stages.results.metrics import measures, rounded
from tests.results import furnished


def test_every_number_has_its_place(found: reading.Results) -> None:
    content = measures(found)
    assert content["coders"]["one"] == {
        "latents": 10,
        "dead": 1,
        "chosen": 3,
        "kept": 2,
        "dropped": {"never fires": 1},
        "l0": 2.5,  # 160 events on 80 - 16 ordinary tokens
    }
    assert content["explanations"]["one"] == {
        "pattern": {"explained": 1, "unexplained": {"no rule fits": 1}, "alike": 0},
        "llm": {"explained": 2, "unexplained": {}, "alike": 0},
    }
    assert content["scores"]["two"]["llm"]["detection"] == {
        "score": 0.9,
        "low": 0.8,
        "high": 1.0,
        "floor": 0.5,
        "latents": 1,
        "unscored": 1,
        "unscored_examples": 11,
        "measures": {"natural_f1": 0.09},
        "negatives": {"random": 0.9, "surface": 0.45},
    }
    assert content["latents"]["two"]["intruder"] == {
        "score": 0.75,
        "low": 0.75,
        "high": 0.75,
        "floor": 0.2,
        "latents": 1,
        "unscored": 1,
        "unscored_examples": 0,
    }


def test_a_coder_of_random_directions_is_a_floor_of_those_at_its_place(found: reading.Results) -> None:
    one = found.coders["one"]
    facts = {**one.meta, "coder": {"format": "random", "k": 4}}
    random = replace(found.coders["two"], name="random", hookpoint=one.hookpoint, meta=facts)
    content = measures(replace(found, coders={**found.coders, "random": random}))
    assert content["scores"]["one"]["pattern"]["detection"]["random_coder"] == 0.9
    assert content["latents"]["one"]["intruder"]["random_coder"] == 0.75
    assert "random_coder" not in content["scores"]["two"]["pattern"]["detection"], "it is at another place"
    assert "random_coder" not in content["scores"]["random"]["pattern"]["detection"]
    untrained = replace(random, meta={**facts, "subject": {"model": "demo/subject", "weights": "random"}})
    content = measures(replace(found, coders={**found.coders, "random": untrained}))
    assert "random_coder" not in content["scores"]["one"]["pattern"]["detection"], "it is of another subject"


def test_similarity_says_what_is_known_of_a_pair(found: reading.Results) -> None:
    similarity = measures(found)["similarity"]
    known = {"layer_distance": 1, "matched_by": "decoder", "n_matched": 2, "relation": "same place", "n_explained": 2}
    assert similarity["pattern"]["one"]["two"] == {
        **known,
        "decoder_cosine": 0.25,
        "encoder_cosine": 0.25,
        "decoder_low": 0.125,
        "decoder_high": 0.375,
        "decoder_cosine_random": 0.125,
        "explanation_cosine": 0.5123,
        "low": 0.3873,
        "high": 0.6373,
        **dict.fromkeys(("floor", "floor_shuffled", "floor_density", "floor_frequency"), 0.25),
        "floor_low": 0.125,
        "floor_high": 0.375,
        "ceiling": 0.7,
        "p": 0.04,
        **dict.fromkeys(("best_a", "best_b", "energy"), 0.25),
    }
    assert similarity["llm"]["one"]["two"] == {**known, "reason": "too few latents are matched"}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"same_subject": False, "controls": ["random"], "same_place": True}, "different subjects"),
        ({"same_subject": True, "controls": ["random"], "same_place": True}, "with a control"),
        ({"same_subject": True, "controls": [], "same_place": True}, "same place"),
        ({"same_subject": True, "controls": [], "same_place": False}, "different places"),
    ],
)
def test_how_two_coders_stand_to_each_other(facts: dict, expected: str) -> None:
    pair = furnished._pair("pattern", 0.5) | facts
    assert similarity.flat(pair, {})["relation"] == expected
    assert similarity.flat(pair, {})["ceiling"] is None


def test_floats_are_rounded_wherever_they_are() -> None:
    assert rounded({"a": [0.123456, {"b": -0.00001}], "n": 3, "s": "0.123456", "none": None, "yes": True}) == {
        "a": [0.1235, {"b": 0.0}],
        "n": 3,
        "s": "0.123456",
        "none": None,
        "yes": True,
    }
    assert dumps(rounded(-0.00001)) == "0.0\n"


def test_the_file_is_sorted_json(found: reading.Results) -> None:
    text = dumps(measures(found))
    assert json.loads(text) == measures(found)
    assert list(json.loads(text)) == [
        "coders",
        "correlations",
        "differences",
        "explanations",
        "latents",
        "scores",
        "similarity",
    ]


def test_a_missing_output_is_named(found: reading.Results, monkeypatch: pytest.MonkeyPatch) -> None:
    original = paths.scores
    monkeypatch.setattr(paths, "scores", lambda coder, explainer, scorer: original(coder, explainer, "absent"))
    with pytest.raises(GlossaError, match=r"data/scores/one/latent/absent.*run dvc repro"):
        reading.read(params.load())
