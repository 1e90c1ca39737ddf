"""What readers are told of explanations that were made elsewhere: how, by whom, and whether scores of theirs are held out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stages.explainers import imported, written
from stages.params import Params
from stages.results.reading import CoderResults
from stages.text.display import sentence

UNSEEN = "from which windows is not known"


def is_imported(p: Params, explainer: str) -> bool:
    """Whether an explainer reads explanations instead of making them."""
    return p.explainers[explainer]["kind"] == imported.FACT


def is_by_hand(p: Params, explainer: str) -> bool:
    """Whether people wrote them by ``glossa rate``."""
    entry = p.explainers[explainer]
    return is_imported(p, explainer) and entry.get("format", written.FORMAT) == written.FORMAT


def said(p: Params, coders: Iterable[CoderResults], explainer: str) -> str | None:
    """Returns how the explanations of some coders were made, None of an explainer that makes them itself or has none."""
    if not is_imported(p, explainer):
        return None
    found = [coder.imported[explainer] for coder in coders if explainer in coder.imported]
    if not found:
        return None
    is_hand = is_by_hand(p, explainer)
    made = "; ".join(dict.fromkeys(_made(one, is_hand) for one in found))
    total = sum(one["explained"] for one in found)
    others = total - sum(one.get("held_out", 0) for one in found)
    if others:
        what = "none is" if others == total else f"{others:,} of {total:,} are not"
        why = written.OTHER_WINDOWS if is_hand else UNSEEN
        made += f"; {what} held out: {why}"
    return sentence(made)


def _made(told: Mapping[str, Any], is_hand: bool) -> str:
    if is_hand:
        return told["made_by"]
    known = told["made_by"] != imported.NOT_KNOWN
    return f"made elsewhere, by {told['made_by']} as is told" if known else "made elsewhere, by whom is not known"
