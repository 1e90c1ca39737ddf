from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.exports.paper import module_name
from tests.results.furnished import HOSTILE


def test_a_file_for_every_hookpoint_maps_latents_to_texts(export: Callable[..., Path]) -> None:
    folder = export("paper")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json")) == [
        "llm/one/model.layers.0_feature.json",
        "llm/two/model.layers.1_feature.json",
        "pattern/one/model.layers.0_feature.json",
        "pattern/two/model.layers.1_feature.json",
    ]
    assert json.loads((folder / "llm/one/model.layers.0_feature.json").read_text("utf-8")) == {
        "2": HOSTILE,
        "7": "dogs",
    }
    assert json.loads((folder / "pattern/one/model.layers.0_feature.json").read_text()) == {"2": "the word cat"}


@pytest.mark.parametrize(
    ("hookpoint", "name"),
    [("layers.2.mlp", "model.layers.2.mlp"), ("h.3", "h.3"), ("layer_5/width_16k", "layer_5.width_16k")],
)
def test_modules_are_those_of_the_whole_model(hookpoint: str, name: str) -> None:
    assert module_name(hookpoint) == name
