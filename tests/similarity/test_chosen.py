from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from stages import params
from stages.errors import GlossaError
from stages.similarity import chosen
from stages.similarity.firing import Firing
from stages.similarity.sources import Known

LAYERS = (0, 1, 2, 3, 4, 5)
NOTHING = np.full(1, np.nan)


def project(coders: dict[str, Any], **compare: Any) -> params.Params:
    return params.parse(
        params.Params,
        {
            "corpus": {"source": "text", "path": "texts", "context_length": 32, "tokens": 10},
            "subject": {"model": "subject"},
            "coders": {name: entry for name, entry in coders.items() if not name.startswith("their_")},
            "sampling": {"latents": "all"},
            "explainers": {"pattern": {"kind": "pattern"}},
            "compare": {
                "pairs": "neighbours",
                "others": {name: {"path": "..", "coder": name} for name in coders if name.startswith("their_")},
                **compare,
            },
        },
        "",
    )


def known(name: str, entry: dict[str, Any]) -> Known:
    control = entry.get("kind")
    inside = ".down_proj.input" if control == "neurons" else ""
    return Known(
        name, f"{entry['hookpoint']}{inside}", control, "s", Firing(NOTHING, NOTHING), {}, {"format": "sparsify"}
    )


def choice(coders: dict[str, Any], **compare: Any) -> chosen.Choice:
    return chosen.choose(project(coders, **compare), {name: known(name, entry) for name, entry in coders.items()})


def saved(hookpoint: str, **more: Any) -> dict[str, Any]:
    return {"path": "coders/x", "hookpoint": hookpoint, **more}


def partners(found: chosen.Choice, name: str) -> set[str]:
    return {other for two in found.pairs if name in two for other in two if other != name}


@pytest.fixture
def layered() -> dict[str, Any]:
    """Six layers of coders at two places, of which two at one place have a second seed, controls, and a coder of another project."""
    coders: dict[str, Any] = {}
    for layer in LAYERS:
        coders[f"resid{layer}"] = saved(f"layers.{layer}")
        coders[f"mlp{layer}"] = saved(f"layers.{layer}.mlp")
    coders["again2"] = saved("layers.2")
    coders["random2"] = {"kind": "random", "hookpoint": "layers.2", "latents": 8, "k": 2}
    coders["untrained2"] = saved("layers.2", weights="random")
    coders["neurons3"] = {"kind": "neurons", "hookpoint": "layers.3.mlp", "k": 2}
    coders["their_resid2"] = saved("layers.2")
    coders["their_resid4"] = saved("layers.4")
    return coders


def test_neighbours_of_six_layers_and_two_places(layered: dict[str, Any]) -> None:
    found = choice(layered)
    own = {"their_resid2", "their_resid4"}
    assert partners(found, "resid0") == {"mlp0", "resid1"} | own, "the first layer has none before it"
    assert partners(found, "resid4") == {"mlp4", "resid3", "resid5"} | own
    assert partners(found, "resid1") == {"mlp1", "resid0", "resid2", "again2"} | own
    assert partners(found, "resid2") == ({"mlp2", "resid1", "resid3", "again2", "random2", "untrained2"} | own)
    assert partners(found, "again2") == {"mlp2", "resid1", "resid3", "resid2", "random2", "untrained2"} | own
    assert partners(found, "mlp2") == {"resid2", "again2", "mlp1", "mlp3"} | own, "no control of another place"
    assert partners(found, "random2") == {"resid2", "again2", "untrained2"} | own
    assert partners(found, "neurons3") == {"mlp3"} | own
    assert partners(found, "their_resid2") == layered.keys() - own, "with all of this project, and none of another"


def test_what_is_left_out_is_counted_by_why(layered: dict[str, Any]) -> None:
    found = choice(layered)
    n = len(layered)
    assert found.of == n * (n - 1) // 2
    assert found.compared + sum(found.left_out.values()) == found.of
    assert found.compared == len(found.pairs) == len(set(map(frozenset, found.pairs)))
    # 15 pairs of layers at a place, of which 5 are next to each other; the second seed is as far from 3 of the other 5.
    assert found.left_out[chosen.FAR] == 2 * 10 + 3
    assert found.left_out[chosen.APART] == 6 * 5 + 5
    assert found.left_out[chosen.OTHERS] == 1
    # 13 trained coders: two of them random2 and untrained2 are controls for, one neurons3; of the three one pair is compared.
    assert found.left_out[chosen.CONTROL] == 11 + 11 + 12 + 2
    assert found.facts() == {
        "rule": "neighbours",
        "compared": found.compared,
        "of": found.of,
        "left_out": found.left_out,
    }
    assert str(found).startswith(f"{found.compared} of {found.of} pairs of coders (neighbours; left out: ")
    assert f"23 of {chosen.FAR}" in str(found)


def test_pairs_come_in_the_order_of_params(layered: dict[str, Any]) -> None:
    every = list(combinations(layered, 2))
    places = [every.index(two) for two in choice(layered).pairs]
    assert places == sorted(places)


def test_a_coder_more_adds_pairs_of_its_own_only(layered: dict[str, Any]) -> None:
    before = set(choice(layered).pairs)
    after = set(choice({**layered, "resid5_again": saved("layers.5")}).pairs)
    assert before < after
    assert all("resid5_again" in two for two in after - before)


def test_the_nearest_layer_may_be_far() -> None:
    coders = {
        name: saved(hookpoint) for name, hookpoint in (("a", "h.1"), ("b", "h.9"), ("c", "h.20"), ("d", "h.1.attn"))
    }
    assert choice(coders).pairs == [("a", "b"), ("a", "d"), ("b", "c")]


def test_neurons_beside_coders_of_the_residual_stream_alone_are_their_control() -> None:
    coders = {
        "resid1": saved("layers.1"),
        "resid2": saved("layers.2"),
        "top": {"kind": "neurons", "hookpoint": "layers.1.mlp", "k": 4},
    }
    assert choice(coders).pairs == [("resid1", "resid2"), ("resid1", "top")]
    coders["mlp1"] = saved("layers.1.mlp")
    assert choice(coders).pairs == [("resid1", "resid2"), ("resid1", "mlp1"), ("top", "mlp1")]


def test_places_without_a_layer() -> None:
    coders = {name: saved("embed_tokens") for name in "ab"} | {"c": saved("norm"), "d": saved("layers.0")}
    found = choice(coders)
    assert found.pairs == [("a", "b")]
    assert found.left_out == {chosen.APART: 5}


def test_all_and_lists_leave_out_nothing_unsaid() -> None:
    coders = {name: saved(f"layers.{layer}") for layer, name in enumerate("abc")}
    every = choice(coders, pairs="all")
    assert (every.facts(), str(every)) == (
        {"rule": "all", "compared": 3, "of": 3, "left_out": {}},
        "3 pairs of coders",
    )
    listed = choice(coders, pairs=[["c", "a"], ["a", "c"], ["c", "a"]])
    assert listed.pairs == [("c", "a"), ("a", "c")]
    assert listed.facts() == {"rule": "listed", "compared": 1, "of": 3, "left_out": {chosen.UNLISTED: 2}}


def test_names_are_checked() -> None:
    coders = {name: saved("layers.0") for name in ("one", "two")}
    with pytest.raises(GlossaError, match=r"compare.pairs names too, which is no coder; did you mean two\?"):
        chosen.check(project(coders, pairs=[["one", "too"]]))
    chosen.check(project(coders))
