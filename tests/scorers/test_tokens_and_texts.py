"""Simulation, surprisal and pmi by the real ``score`` command: hard latents, strange explanations, the same bytes again."""

from __future__ import annotations

import json
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stages import params, paths
from stages.cli import main
from stages.estimate.pending import Pending
from stages.scorers import table
from stages.wiring.coder import stage_of
from tests.llm import small_models
from tests.llm.asking import JUDGE
from tests.scorers.on_disk import Latent, firing, furnish, silent
from tests.scorers.test_degenerate import EVERYWHERE, FEW, LATENTS, LONELY, ORDINARY, STRANGE, UNMARKABLE

SCORERS: dict[str, Any] = {
    "by_pattern": {"kind": "simulation", "model": {"provider": "pattern"}},
    "at_once": {"kind": "simulation", "mode": "all_at_once"},
    "surprisal": {"kind": "surprisal", "shots": 1},
    "pmi": {"kind": "pmi"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    small_models.make(folder / "lm", None, texts=[Path("stages/scorers/simulation_at_once.md").read_text("utf-8")])
    model = {"provider": "transformers", "model": "lm"}
    entries = {name: {"model": model, **entry} for name, entry in SCORERS.items()}
    with chdir(folder):
        furnish(LATENTS, {"right": dict.fromkeys(LATENTS, 'Fires on "cat".'), "strange": STRANGE}, entries)
    return folder


def score(explainer: str, scorer: str) -> dict[int, dict[str, Any]]:
    """The scores of own explanations by latent."""
    result = CliRunner().invoke(main, ["score", "one", explainer, scorer])
    assert result.exit_code == 0, (result.output, result.exception)
    scores, _ = table.read(paths.scores("one", explainer, scorer))
    return {row["latent"]: row for row in scores.to_pylist() if row["explanation"] == table.OWN}


@pytest.mark.parametrize("explainer", ["right", "strange"])
@pytest.mark.parametrize("scorer", SCORERS)
def test_every_latent_has_a_value_or_a_reason(place: Path, explainer: str, scorer: str) -> None:
    with chdir(place):
        scores = score(explainer, scorer)
        folder = paths.scores("one", explainer, scorer)
        measures = table.read_measures(folder).to_pylist()
        verdicts = table.read_verdicts(folder).to_pylist()
    assert set(scores) == set(LATENTS)
    for row in [*scores.values(), *measures]:
        value = row["score"] if "score" in row else row["value"]
        assert (value is None) is bool(row["reason"])
    for verdict in verdicts:
        assert (verdict["value"] is None) is bool(verdict["reason"])
        assert (verdict["values"] is None) is (verdict["value"] is None or scorer in ("surprisal", "pmi"))
    if scorer == "surprisal" and explainer == "strange":
        assert (scores[EVERYWHERE]["n"], scores[FEW]["n"]) == (0, 0)
        assert {verdict["reason"] for verdict in verdicts if verdict["latent"] == FEW and verdict["reason"]}
    if scorer == "by_pattern" and explainer == "right":
        assert scores[ORDINARY]["score"] > 0.9
        assert (scores[UNMARKABLE]["n"], scores[UNMARKABLE]["unscored"]) == (10, 4)
        assert (scores[LONELY]["n"], scores[LONELY]["unscored"]) == (1, 1)


def test_the_same_inputs_give_the_same_bytes(place: Path) -> None:
    with chdir(place):
        for scorer in SCORERS:
            found = []
            for _ in range(2):
                score("right", scorer)
                files = sorted(file for file in paths.scores("one", "right", scorer).iterdir())
                found.append({file.name: file.read_bytes() for file in files})
            assert found[0] == found[1]
            assert str(place).encode() not in b"".join(found[0].values())


def test_what_is_asked_is_foretold(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"served": {"kind": "simulation", "model": JUDGE}, "surprisal": SCORERS["surprisal"]}
    entries["surprisal"] = {"model": {"provider": "transformers", "model": str(place / "lm")}, **entries["surprisal"]}
    some = {
        0: Latent(firing(1, 40, seed=1), silent(20, seed=2)),
        1: Latent(firing(1, 40, seed=3), silent(1, "surface")),
    }
    folder = place / "estimate"
    folder.mkdir()
    monkeypatch.chdir(folder)
    furnish(some, {"right": dict.fromkeys(some, "cats")}, entries)
    changed = {stage_of(params.load(), "one", "right", name): ["always changed"] for name in entries}
    monkeypatch.setattr(Pending, "from_dvc", lambda p: Pending(p, changed))
    result = CliRunner().invoke(main, ["estimate", "--json"])
    assert result.exit_code == 0, result.output
    said = {line["stage"]: line for line in json.loads(result.stdout)["stages"]}
    # Ten windows in which a latent fires and ten, or none, in which it is silent. The floor asks the same, as both latents have
    # the same explanation.
    assert said["score one right served"]["calls"] == 30
    assert said["score one right surprisal"]["basis"] == "computes with its model in this process, without calls"
