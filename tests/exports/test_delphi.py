from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stages import params, paths
from stages.cli import main
from stages.corpus.tokens import Tokens
from stages.exports import delphi
from stages.exports.delphi import scorer_names
from stages.latents.store import LatentStore
from tests.results.furnished import E1, E2, HOSTILE, A

CLASSIFIED = {
    "str_tokens": list,
    "activations": list,
    "distance": int,
    "activating": bool,
    "prediction": (bool, type(None)),
    "probability": (float, type(None)),
    "correct": (bool, type(None)),
}
"""What delphi's ClassifierOutput holds."""


def read_scores(folder: Path, module: str) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """As delphi's result_analysis finds and names them: by the folder, and by what follows ``latent``."""
    return {
        (path.parent.name, int(path.stem.split("latent")[-1])): json.loads(path.read_bytes())
        for path in (folder / "scores").glob(f"*/*{module}*")
    }


def test_explanations_are_json_strings_named_by_module_and_latent(export: Callable[..., Path]) -> None:
    folder = export("delphi")
    assert {path.name for path in folder.iterdir()} == {"one-llm", "one-pattern", "two-llm", "two-pattern"}
    found = {path.name: json.loads(path.read_bytes()) for path in (folder / "one-llm" / "explanations").iterdir()}
    assert found == {"layers.0_latent2.txt": HOSTILE, "layers.0_latent7.txt": "dogs"}
    pattern = {path.name for path in (folder / "two-pattern" / "explanations").iterdir()}
    assert pattern == {"layers.1_latent2.txt"}, "what has no explanation has no file"


def test_scores_are_read_as_delphi_reads_them(export: Callable[..., Path]) -> None:
    found = read_scores(export("delphi") / "one-llm", "layers.0")
    assert list(found) == [("detection", 2)]
    one, two = found["detection", 2]
    for item in (one, two):
        assert list(item) == list(CLASSIFIED)
        assert all(isinstance(item[name], kind) for name, kind in CLASSIFIED.items())
        assert len(item["str_tokens"]) == len(item["activations"]) == 4
    assert one == {
        "str_tokens": [" a", "\n", "\u202e", "<end>"],
        "activations": [0.0, 7.0, 0.5, 0.0],
        "distance": 0,
        "activating": True,
        "prediction": True,
        "probability": 0.75,
        "correct": True,
    }
    assert (two["distance"], two["activating"], two["prediction"], two["correct"]) == (-1, False, None, None)


def test_firing_counts_are_those_of_the_store(
    finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    shutil.copytree(finished_workplace, place)
    monkeypatch.chdir(place)
    assert CliRunner().invoke(main, ["explain", "one", "pattern"]).exit_code == 0
    said = CliRunner().invoke(main, ["export", "delphi", "out", "--coder", "one"])
    assert said.exit_code == 0, said.output
    counts = torch.load("out/one-pattern/log/hookpoint_firing_counts.pt", weights_only=True)
    assert {name: found.tolist() for name, found in counts.items()} == {
        "layers.0": LatentStore.open(paths.latents("one")).statistic("count").tolist()
    }


def test_a_similarity_is_a_probability_without_a_prediction(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared)
    row = {"predicted": None, "active": True, "value": 0.4, "decile": 3}
    item = delphi._judged(row, [A, E1, E2, 0], np.zeros(4, np.float32), Tokens.open())
    assert list(item) == list(CLASSIFIED)
    assert (item["probability"], item["prediction"], item["correct"], item["distance"]) == (0.4, None, None, 2)


def test_characters_of_several_tokens_are_one_token(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared)
    row = {"predicted": True, "active": True, "value": None, "decile": 1}
    item = delphi._judged(row, [A, E1, E2, 0], np.array([0, 1, 5, 0], np.float32), Tokens.open())
    assert (item["str_tokens"], item["activations"]) == ([" a", "\u00e9", "<end>"], [0.0, 5.0, 0.0])


def test_run_config_names_what_was_explained(export: Callable[..., Path]) -> None:
    config = json.loads((export("delphi") / "two-llm" / "run_config.json").read_text())
    assert config["model"] == "demo/subject"
    assert config["hookpoints"] == ["layers.1"]


def test_several_scorers_of_a_kind_keep_their_names(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shared)
    p = params.load()
    assert scorer_names(p) == {"detection": "detection", "embedding": "embedding"}
    more = {"fast": {"kind": "fuzzing"}, "slow": {"kind": "fuzzing"}, "d": {"kind": "detection"}}
    assert scorer_names(p.model_copy(update={"scorers": more})) == {"fast": "fast", "slow": "slow", "d": "detection"}
