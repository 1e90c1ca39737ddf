from typing import Any

import numpy as np
import pytest
import torch

from stages.similarity import lists
from stages.similarity.blocks import Cosine, unit
from stages.similarity.firing import Firing
from stages.similarity.lists import Link, Relatives, chains, families, unique
from stages.similarity.match import Matches, nearest
from stages.similarity.sources import Explained, Known, meaning_of
from tests.similarity.test_match import at


def said(*degrees: float, latents: list[int] | None = None) -> Explained:
    """Explanations whose vectors point in these directions."""
    places = np.arange(len(degrees)) if latents is None else np.array(latents)
    return Explained(places, [f"text {d:g}" for d in degrees], unit(at(*degrees)).numpy())


def matches(*pairs: tuple[int, int]) -> Matches:
    a, b = (np.array(side, np.int32) for side in zip(*pairs, strict=True))
    return Matches(a, b, "assignment")


def test_the_same_direction_with_the_least_alike_meaning_first() -> None:
    a, b = said(0, 0, 0), said(10, 80, 50)
    found = lists.same_direction_different_meaning(
        matches((0, 0), (1, 1), (2, 2)), np.array([0.9, 0.8, 0.69]), np.array([0.98, 0.17, 0.6]), a, b
    )
    assert [(entry["latent_a"], entry["meaning"]) for entry in found] == [(1, 0.17), (0, 0.98)]
    assert found[0] == {
        "latent_a": 1,
        "latent_b": 1,
        "direction": 0.8,
        "meaning": 0.17,
        "explanation_a": "text 0",
        "explanation_b": "text 80",
    }
    unexplained = lists.same_direction_different_meaning(matches((0, 0)), np.array([0.9]), np.array([np.nan]), a, b)
    assert unexplained == []


def test_the_same_meaning_with_another_direction() -> None:
    # 0 and 5 are each other's nearest by meaning, and 90 and 95; 45 and 46 of A say nearly the same
    a, b = said(0, 90, 45, 46), said(95, 5, 45)
    apart = Cosine([(unit(at(0, 90, 0, 0)), unit(at(91, 88, 90)))])
    meaning = meaning_of(a, b)
    found = lists.same_meaning_different_direction(meaning, nearest(meaning), apart, a, b)
    assert [(entry["latent_a"], entry["latent_b"]) for entry in found] == [(0, 1)]
    assert found[0]["meaning"] == pytest.approx(np.cos(np.radians(5)))
    assert found[0]["direction"] == pytest.approx(np.cos(np.radians(88)), abs=1e-6)


def test_latents_without_relatives() -> None:
    own = Relatives(4)
    own.take("b", np.arange(4), np.array([5, 6, 7, 8]), np.array([0.9, 0.1, 0.5, 0.2], np.float32))
    own.take("c", np.array([1, 3]), np.array([1, 1]), np.array([0.4, 0.1], np.float32))
    found = unique(own, said(0, 90, 45, latents=[0, 1, 3]))
    assert [(entry["latent"], entry["nearest_coder"], entry["nearest_latent"]) for entry in found] == [
        (3, "b", 8),
        (1, "c", 1),
        (0, "b", 5),
    ]
    assert found[0]["explanation"] == "text 45"
    assert unique(Relatives(4), said(0)) == []


def known(name: str, hookpoint: str, control: str | None = None, subject: str = "s") -> Known:
    nothing = np.full(9, np.nan)
    return Known(name, hookpoint, control, subject, Firing(nothing, nothing), {"e": said(*range(9))}, {})


def test_families_read_the_same_place_of_different_layers() -> None:
    coders = [
        known("l4", "layers.4"),
        known("l1", "layers.1"),
        known("l1_again", "layers.1"),
        known("mlp1", "layers.1.mlp"),
        known("mlp2", "layers.2.mlp"),
        known("random", "layers.2", "random"),
        known("other", "layers.3", subject="t"),
        known("embed", "embed"),
    ]
    found = [[coder.name for coder in family] for family in families(coders)]
    assert found == [["l1", "l4"], ["mlp1", "mlp2"]]


def link(*pairs: tuple[int, int, float]) -> Link:
    return matches(*((a, b) for a, b, _ in pairs)), np.array([value for *_, value in pairs])


def found_chains(links: dict[tuple[str, str], Link], names: str = "abcd") -> dict[str, Any]:
    return chains([known(name, f"layers.{place}") for place, name in enumerate(names)], links, "e")


def test_chains_by_hand() -> None:
    links = {
        ("a", "b"): link((0, 1, 0.9), (1, 2, 0.8), (2, 0, 0.5)),
        ("c", "b"): link((3, 1, 0.95), (4, 2, 0.75), (5, 5, 0.99)),  # compared the other way round
        ("c", "d"): link((3, 0, 0.7), (5, 6, 0.71)),
    }
    found = found_chains(links)
    assert found["coders"] == ["a", "b", "c", "d"]
    assert found["counts"] == {"2": 0, "3": 2, "4": 1}
    steps = [[(step["coder"], step["latent"], step["direction"]) for step in chain] for chain in found["chains"]]
    assert steps == [
        [("a", 0, None), ("b", 1, 0.9), ("c", 3, 0.95), ("d", 0, 0.7)],
        [("a", 1, None), ("b", 2, 0.8), ("c", 4, 0.75)],
        [("b", 5, None), ("c", 5, 0.99), ("d", 6, 0.71)],
    ]
    assert found["chains"][0][0]["explanation"] == "text 0"


def test_a_pair_that_was_not_compared_ends_all_chains() -> None:
    found = found_chains({("a", "b"): link((0, 0, 0.9)), ("c", "d"): link((0, 0, 0.9))})
    assert (found["counts"], found["chains"]) == ({"2": 2}, [])


def test_of_two_layers_the_matches_are_the_chains() -> None:
    found = found_chains({("a", "b"): link((0, 1, 0.8), (1, 0, 0.9))}, "ab")
    assert [chain[1]["direction"] for chain in found["chains"]] == [0.9, 0.8]
    assert found_chains({}, "ab") == {"coders": ["a", "b"], "counts": {}, "chains": []}


def test_explanations_by_latent() -> None:
    explained = said(0, 90, latents=[3, 7])
    assert explained.of(np.array([7, 4, 3, 9])) == ["text 90", None, "text 0", None]
    assert said().of(np.array([1])) == [None]
    assert torch.equal(meaning_of(explained, explained).vectors[0][0], torch.from_numpy(explained.vectors))
