"""What pages say of explanations that were made elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages import params
from stages.dataset import facts
from stages.explainers import table
from stages.explainers.table import Explanation
from stages.results import imports, reading
from stages.results.reading import Results
from stages.site import overview, provenance
from stages.site.manifest import made

HAND = "hand-written by Ada, from the train windows"
ENTRIES = {
    "hand": {"kind": "imported", "path": "w.jsonl"},
    "theirs": {"kind": "imported", "format": "csv", "path": "theirs", "coders": {"one": "x"}},
}


def told(made_by: str, explained: int, held_out: int) -> dict[str, Any]:
    return {"made_by": made_by, "explained": explained, "held_out": held_out}


@pytest.fixture
def p(found: Results) -> params.Params:
    p = params.load()
    return p.model_copy(update={"explainers": {**p.explainers, **ENTRIES}})


def said(p: params.Params, found: Results, explainer: str, *imported: dict[str, Any]) -> str | None:
    coders = [replace(found.coders["one"], imported={explainer: one}) for one in imported]
    return imports.said(p, coders, explainer)


def test_all_others_and_those_that_are_not_held_out_are_told(p: params.Params, found: Results) -> None:
    assert said(p, found, "hand", told(HAND, 3, 3)) == HAND
    assert said(p, found, "hand", told(HAND, 3, 3), told(HAND, 2, 1)) == (
        f"{HAND}; 1 of 5 are not held out: they were written from other train windows than there are now"
    )
    assert said(p, found, "hand", told(HAND, 3, 0)) == (
        f"{HAND}; none is held out: they were written from other train windows than there are now"
    )
    unseen = "none is held out: from which windows is not known"
    assert said(p, found, "theirs", told("not known", 3, 0)) == f"made elsewhere, by whom is not known; {unseen}"
    assert (
        said(p, found, "theirs", told("GPT-4o\u202e", 3, 0))
        == f"made elsewhere, by GPT-4o⟨U+202E⟩ as is told; {unseen}"
    )
    old = {"made_by": "not known", "explained": 3}  # of a Glossa that did not count them
    assert said(p, found, "theirs", old) == f"made elsewhere, by whom is not known; {unseen}"
    assert said(p, found, "hand") is None
    assert said(p, found, "llm") is None


def test_every_place_says_so(p: params.Params, found: Results) -> None:
    new = {"imported": {"hand": told(HAND, 1, 1)}}
    coders = {
        name: replace(coder, explanations={**coder.explanations, "hand": {}}, **new)
        for name, coder in found.coders.items()
    }
    here = replace(found, coders=coders, explainers=[*found.explainers, "hand"])
    few = p.model_copy(update={"explainers": {name: p.explainers[name] for name in here.explainers}})
    assert made(few, here) == {"hand": HAND}
    assert f"hand: {HAND}." in overview.index(here, {}, made(few, here))
    assert ("made", HAND) in provenance.of_explainer(few, here, "hand")
    explainers = facts.facts(few, here, {})["explainers"]
    assert (explainers["hand"]["made"], explainers["hand"]["by_hand"]) == (HAND, True)
    assert "made" not in explainers["llm"]


def test_what_the_stage_noted_is_read(tmp_path: Path, found: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path.cwd()
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / f"data/explanations/{name}").mkdir(parents=True)
        for explainer in ("pattern", "llm"):
            (tmp_path / f"data/explanations/{name}/{explainer}").symlink_to(
                place / f"data/explanations/{name}/{explainer}"
            )
    for name in ("examples", "scores"):
        (tmp_path / "data" / name).symlink_to(place / "data" / name)
    text = (
        (place / "params.yaml")
        .read_text()
        .replace("llm: {kind: default}", f"llm: {{kind: default}}, hand: {json.dumps(ENTRIES['hand'])}")
    )
    (tmp_path / "params.yaml").write_text(
        text.replace("detection: {kind: detection}, embedding: {kind: embedding}, ", "")
    )
    meta = {"imported": {"made_by": HAND, "held_out": 1}}
    table.write(Path("data/explanations/one/hand"), [Explanation(2, "Cats", None, {})], meta)
    p = params.load()
    coder = reading.read_coder(p, "one")
    assert coder.imported == {"hand": {"made_by": HAND, "held_out": 1, "explained": 1}}
    assert imports.said(p, [coder], "hand") == HAND
