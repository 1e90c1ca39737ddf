"""What data/similarity says of every two coders, as flat numbers."""

from __future__ import annotations

import json
from typing import Any

from stages import paths

SIMILARITIES = {
    "decoder_cosine": "decoder",
    "encoder_cosine": "encoder",
    "activation_correlation": "pearson",
    "activation_jaccard": "jaccard",
}
SETS = ("best_a", "best_b", "energy", "cka")
FLOORS = ("shuffled", "density", "frequency")


def flat(pair: dict[str, Any], ceilings: dict[str, Any]) -> dict[str, Any]:
    """Returns the numbers of one pair of coders and one explainer on one level; None for what is undefined.

    ``ceiling`` is the mean of the two coders' ceilings.
    """
    cosine, floors = pair["meaning"]["cosine"], pair["meaning"]["floors"]
    both = [ceilings.get(pair["explainer"], {}).get(pair[side], {}).get("value") for side in ("a", "b")]
    random = floors["random"]
    return {
        **{key: pair[key] for key in ("a", "b", "explainer", "layer_distance", "matched_by", "n_matched")},
        "relation": _relation(pair),
        "n_explained": cosine["n"],
        **{name: pair["similarity"][kind].get("value") for name, kind in SIMILARITIES.items()},
        **{f"decoder_{end}": pair["similarity"]["decoder"].get(end) for end in ("low", "high")},
        "decoder_cosine_random": pair["similarity"]["decoder"].get("random"),
        "explanation_cosine": cosine.get("value"),
        "low": cosine.get("low"),
        "high": cosine.get("high"),
        "floor": random.get("value"),
        "floor_low": random.get("low"),
        "floor_high": random.get("high"),
        **{f"floor_{name}": floors[name].get("value") for name in FLOORS},
        "ceiling": None if None in both else sum(both) / 2,
        "p": pair["meaning"]["significance"].get("p"),
        **{name: pair["sets"][name].get("value") for name in SETS},
        "reason": pair["reason"] or cosine.get("reason"),
    }


def _relation(pair: dict[str, Any]) -> str:
    if not pair["same_subject"]:
        return "different subjects"
    if pair["controls"]:
        return "with a control"
    return "same place" if pair["same_place"] else "different places"


def left_out(choice: dict[str, Any]) -> str | None:
    """Returns a sentence that says which pairs of coders were not compared, as ``meta.json`` counts them; None if all were."""
    reasons = choice["left_out"]
    if not reasons:
        return None
    rule = " (neighbours)" if choice["rule"] == "neighbours" else ""
    why = ", ".join(f"{n:,} of {reason}" for reason, n in reasons.items())
    return f"{choice['compared']:,} of {choice['of']:,} pairs of coders are compared{rule}; left out are {why}."


def lists() -> dict[str, Any]:
    """Returns the lists people read, by explainer."""
    return json.loads((paths.SIMILARITY / "lists.json").read_text(encoding="utf-8"))
