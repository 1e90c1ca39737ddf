"""What each scorer sees, and what it misses, where it is known what every latent fires on and what it writes.

The real stages run over what ``hand_made`` makes; only the explanations are written by hand. A near miss is wrong in one way, and
each test says which scorers, by which kind of negatives, see that, and which do not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import params, paths, registry
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.explainers import table as explanations
from stages.explainers.table import Explanation
from stages.latents.store import LatentStore
from stages.scorers import table
from stages.scorers.continuations import NO_STRENGTH
from stages.scorers.table import ALL, OWN, SHUFFLED
from tests.scorers import hand_made
from tests.scorers.hand_made import ANIMAL, ANIMALS, MOON, PERSON, PLANTS, RIVER_BANK, SKY, SPOON, quoted

EXPLANATIONS = {
    "right": {
        MOON: 'The word "moon".',
        RIVER_BANK: 'The word "bank" after "river".',
        ANIMAL: f"The words {quoted(ANIMALS)}.",
        SPOON: 'The word "spoon".',
    },
    "broad": {MOON: f"The words {quoted(SKY)}.", ANIMAL: f"The words {quoted(ANIMALS + PLANTS)}."},
    "narrow": {ANIMAL: 'The word "cat".'},
    "bare": {RIVER_BANK: 'The word "bank".'},
    "unrelated": dict.fromkeys((MOON, RIVER_BANK, ANIMAL, SPOON), 'The word "lamp".'),
    "output": {MOON: 'The word "moon".', SPOON: 'The word "gold".'},
}
"""``broad``: with words on which the latent is silent. ``narrow``: with one of four words. ``bare``: the right token, whatever is
before it. ``output``: what the latent raises."""

JUDGE, MODEL = {"provider": "pattern"}, {"provider": "transformers", "model": "subject"}
SCORERS: dict[str, dict[str, Any]] = {
    "detection": {"model": JUDGE},
    "embedding": {"embedder": "embedder"},
    "fuzzing": {"model": JUDGE},
    "intervention": {"model": MODEL, "shots": 0, "per_quintile": 4},
    "intruder": {"model": JUDGE},
    "pmi": {"model": MODEL},
    "sensitivity": {"model": JUDGE, "texts": 14},
    "simulation": {"model": JUDGE, "active": 20, "random": 20},
    "surprisal": {"model": MODEL, "shots": 0},
}
ALIKE = ["detection", "fuzzing", "embedding", "surprisal", "pmi", "simulation", "sensitivity"]
"""Those that the right explanation of what a latent fires on satisfies."""
NEGATIVES = {"random": 60, "neighbour": 20, "semantic": 20, "surface": 20}
PARAMS = {
    "corpus": {
        "source": "text",
        "path": "texts",
        "context_length": hand_made.LENGTH,
        "tokens": 48_000,
        "bos": hand_made.END,
    },
    "subject": {"model": "subject"},
    "coders": {"one": {"path": "coder", "hookpoint": "h.0", "activation": "relu", "pre_bias": False}},
    "sampling": {
        "latents": {"first": 5},
        "min_activations": 40,
        "window": 16,
        "train": {"n": 20},
        "test": {"per_decile": 4, "negatives": NEGATIVES},
        "embedder": "embedder",
    },
    "explainers": {name: {"kind": "none"} for name in EXPLANATIONS},
    "scorers": {name: {"kind": name, **options} for name, options in SCORERS.items()},
}


@dataclass
class Results:
    """What the stages have written into a folder."""

    folder: Path
    glossa: Callable[..., str]

    def at(self, explainer: str, scorer: str) -> Path:
        """Where the scores are; those that are not there yet are made."""
        with chdir(self.folder):
            found = paths.scores("one", explainer, scorer)
            if not found.exists():
                self.glossa("score", "one", explainer, scorer)
            return found.absolute()

    def score(self, explainer: str, scorer: str, latent: int, control: str = OWN) -> dict[str, Any]:
        """The row of the headline."""
        scores, _ = table.read(self.at(explainer, scorer))
        (row,) = [row for row in scores.to_pylist() if (row["explanation"], row["latent"]) == (control, latent)]
        return row

    def value(self, explainer: str, scorer: str, latent: int) -> float:
        """The headline."""
        return self.score(explainer, scorer, latent)["score"]

    def measures(self, explainer: str, scorer: str, latent: int) -> dict[tuple[str, str], float]:
        """{(metric, of): value} of the latent's own explanation."""
        rows = table.read_measures(self.at(explainer, scorer)).to_pylist()
        own = [row for row in rows if (row["explanation"], row["latent"]) == (OWN, latent)]
        return {(row["metric"], row["subset"]): row["value"] for row in own}

    def against(self, kind: str, metric: str, explainer: str, scorer: str, latent: int) -> float:
        """A metric with negatives of one kind only."""
        return self.measures(explainer, scorer, latent)[metric, f"negatives {kind}"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    from click.testing import CliRunner

    from stages.cli import main

    folder = tmp_path_factory.mktemp("planted")

    def glossa(*arguments: str) -> str:
        result = CliRunner().invoke(main, arguments, env={"GLOSSA_HOME": str(folder / "home")})
        assert result.exit_code == 0, (arguments, result.output, result.exception)
        return result.output

    with chdir(folder):
        hand_made.write_texts(Path("texts"), 60, 90)
        hand_made.write_subject(Path("subject"))
        hand_made.write_coder(Path("coder"))
        hand_made.write_embedder(Path("embedder"))
        Path("params.yaml").write_text(json.dumps(PARAMS))
        for arguments in (["tokenize"], ["cache", "one"], ["sample", "one"]):
            glossa(*arguments)
        for name, said in EXPLANATIONS.items():
            written = [Explanation(latent, text, None, {}) for latent, text in said.items()]
            explanations.write(paths.explanations("one", name), written, {})
    return Results(folder, glossa)


def test_the_latents_fire_exactly_where_it_is_said(found: Results) -> None:
    with chdir(found.folder):
        store = LatentStore.open(paths.latents("one"))
        events = {latent: store.latent(latent) for latent in (MOON, RIVER_BANK, ANIMAL, SPOON, PERSON)}
        tokens = Tokens.open().matrix
    words = np.array(hand_made.VOCABULARY)[tokens]
    before = np.roll(words, 1, 1)
    said = {
        MOON: words == "moon",
        RIVER_BANK: (words == "bank") & (before == "river"),
        ANIMAL: np.isin(words, ANIMALS),
        SPOON: words == "spoon",
        PERSON: np.isin(words, hand_made.PEOPLE),
    }
    for latent, fires in said.items():
        positions, values = events[latent]
        np.testing.assert_array_equal(positions, np.flatnonzero(fires))
        if latent == ANIMAL:
            strength = dict(zip(ANIMALS, (3.5, 2.5, 1.5, 0.5), strict=True))
            expected = [strength[word] for word in words.reshape(-1)[positions]]
            assert values == pytest.approx(expected, abs=1e-3)


def test_there_are_negatives_of_a_kind_where_there_can_be(found: Results) -> None:
    """A word on which a latent always fires leaves no ``surface`` ones, and only some fire beside another latent."""
    with chdir(found.folder):
        latents = Examples.open(paths.examples("one")).latents
    kinds = {row["latent"]: {kind for kind, n in row["n_negatives"] if n >= 15} for row in latents.to_pylist()}
    assert kinds == {
        MOON: {"random", "neighbour", "semantic"},
        RIVER_BANK: {"random", "neighbour", "semantic", "surface"},
        ANIMAL: {"random", "neighbour", "semantic"},
        SPOON: {"random", "semantic"},
        PERSON: {"random", "semantic"},
    }


@pytest.mark.parametrize("scorer", ALIKE)
@pytest.mark.parametrize("latent", [MOON, RIVER_BANK, ANIMAL, SPOON])
def test_the_right_explanation_is_near_one_and_above_the_floor(found: Results, scorer: str, latent: int) -> None:
    own, floor = (found.score("right", scorer, latent, control) for control in (OWN, SHUFFLED))
    assert own["score"] > 0.85
    assert floor["score"] is None or own["low"] > floor["high"]


@pytest.mark.parametrize("scorer", ALIKE)
@pytest.mark.parametrize("latent", [MOON, RIVER_BANK, ANIMAL, SPOON])
def test_an_unrelated_explanation_is_at_the_floor(found: Results, scorer: str, latent: int) -> None:
    chance = {"simulation": 0.0, "sensitivity": 0.0}.get(scorer, 0.5)
    score = found.value("unrelated", scorer, latent)
    assert score is None or score == pytest.approx(chance, abs=0.12)


@pytest.mark.parametrize(("latent", "random"), [(MOON, 0.83), (ANIMAL, 0.53)])
def test_detection_sees_what_is_too_broad_best_by_neighbours(found: Results, latent: int, random: float) -> None:
    """The share of windows that hold one of the other words is what random negatives tell."""
    measures = found.measures("broad", "detection", latent)
    assert measures["sensitivity", ALL] == 1
    assert measures["specificity", "negatives neighbour"] == 0
    assert measures["specificity", "negatives random"] == pytest.approx(random, abs=0.15)


def test_what_is_too_broad_elsewhere(found: Results) -> None:
    for scorer in ("embedding", "surprisal", "pmi"):
        for latent in (MOON, ANIMAL):
            right, broad = (found.against("neighbour", "auroc", name, scorer, latent) for name in ("right", "broad"))
            assert right > 0.9 > broad + 0.02
    for latent in (MOON, ANIMAL):  # texts are written of the other words as well
        assert found.value("broad", "sensitivity", latent) < 0.7
        assert found.value("broad", "fuzzing", latent) > 0.9, "what is marked is rarely one of the other words"
        assert found.value("broad", "simulation", latent) < found.value("right", "simulation", latent) - 0.1


def test_what_is_too_narrow_loses_sensitivity_in_the_weak_deciles(found: Results) -> None:
    measures = found.measures("narrow", "detection", ANIMAL)
    assert measures["specificity", ALL] == 1
    assert measures["sensitivity", ALL] < 0.5
    assert measures["sensitivity", "decile 1"] == 1
    assert measures["sensitivity", "decile 10"] < 0.5
    for scorer in ("fuzzing", "surprisal", "pmi", "simulation"):
        assert found.value("narrow", scorer, ANIMAL) < found.value("right", scorer, ANIMAL) - 0.05
    assert found.value("narrow", "sensitivity", ANIMAL) == 1, "it fires on whatever is written about cats"
    assert found.value("narrow", "embedding", ANIMAL) > 0.9, "to the embedder other animals are like cats"


def test_the_right_token_in_the_wrong_context_is_seen_by_hard_negatives_only(found: Results) -> None:
    measures = found.measures("bare", "detection", RIVER_BANK)
    assert measures["sensitivity", ALL] == 1
    assert measures["specificity", "negatives random"] > 0.9
    assert measures["specificity", "negatives surface"] == 0
    assert measures["specificity", "negatives neighbour"] == 0
    for scorer in ("embedding", "surprisal", "pmi"):
        assert found.against("random", "auroc", "bare", scorer, RIVER_BANK) > 0.9
        assert found.against("surface", "auroc", "bare", scorer, RIVER_BANK) < 0.75
        assert found.against("surface", "auroc", "right", scorer, RIVER_BANK) > 0.9
    assert found.value("bare", "sensitivity", RIVER_BANK) == 0, "nothing written about banks has a river before them"
    # Marks are on the token in either case, and simulation takes random negatives only.
    assert found.value("bare", "fuzzing", RIVER_BANK) > 0.9
    assert found.value("bare", "simulation", RIVER_BANK) > 0.9


def test_intervention_finds_what_a_latent_writes_and_detection_misses_it(found: Results) -> None:
    own, floor = (found.score("output", "intervention", SPOON, control) for control in (OWN, SHUFFLED))
    assert own["score"] > 1
    assert own["low"] > max(0, floor["high"])
    assert found.measures("output", "intervention", SPOON)["divergence", ALL] == pytest.approx(1, rel=0.1)
    assert found.value("output", "detection", SPOON) == pytest.approx(0.5, abs=0.1)


def test_intervention_misses_what_a_latent_only_reads(found: Results) -> None:
    assert found.value("right", "detection", SPOON) > 0.9
    assert found.value("right", "intervention", SPOON) < 0
    assert found.value("unrelated", "intervention", SPOON) < 0, "a word that is raised makes all others unlikelier"
    own, floor = (found.score("right", "intervention", MOON, control) for control in (OWN, SHUFFLED))
    assert own["low"] > floor["high"], "it writes what it reads, which the prompts hold already"
    for latent in (RIVER_BANK, ANIMAL):
        assert found.score("right", "intervention", latent)["reason"] == NO_STRENGTH, "they write nothing"


def test_intruders_are_found_unless_a_latent_has_nothing_in_common(found: Results) -> None:
    for latent in (MOON, RIVER_BANK, ANIMAL, SPOON):
        assert found.value(params.LATENT, "intruder", latent) >= 0.8
    assert found.value(params.LATENT, "intruder", PERSON) < 0.5


def test_all_kinds_of_scorers_took_part(found: Results) -> None:
    assert set(SCORERS) == set(registry.SCORERS)
