"""csv and jsonl."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from stages.cells import text_of
from tests.results.furnished import HOSTILE

Export = Callable[..., Path]


def test_jsonl_has_every_explanation_with_its_scores(export: Export) -> None:
    (path,) = export("jsonl").iterdir()
    found = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    named = {(row["coder"], row["explainer"], row["latent"]): row for row in found}
    assert list(named) == [(c, e, n) for c in ("one", "two") for e in ("pattern", "llm") for n in (2, 7)]
    hostile = named["two", "llm", 2]
    assert hostile["explanation"] == HOSTILE
    assert (hostile["hookpoint"], hostile["density"], hostile["max"]) == ("layers.1", 0.1875, 8.0)
    assert hostile["scores"]["detection"]["score"] == 0.9
    assert hostile["scores"]["detection"]["floor"] == 0.5
    assert hostile["scores"]["intruder"]["score"] == 0.75
    assert named["one", "pattern", 7] == {
        "coder": "one",
        "hookpoint": "layers.0",
        "latent": 7,
        "density": 0.1875,
        "max": 8.0,
        "explainer": "pattern",
        "explanation": None,
        "reason": "no rule fits",
        "scores": {
            "detection": {"score": None, "low": None, "high": None, "n": 0, "unscored": 10, "floor": None},
            "embedding": None,
            "intruder": {"score": None, "low": None, "high": None, "n": 0, "unscored": 0, "floor": 0.2},
        },
    }


def test_csv_says_the_same(export: Export) -> None:
    with (export("csv") / "explanations.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = (export("jsonl") / "explanations.jsonl").read_text("utf-8").split("\n")[:-1]
    for row, record in zip(rows, map(json.loads, lines), strict=True):
        assert text_of(row["explanation"]) == (record["explanation"] or "")
        assert (row["coder"], row["explainer"], row["latent"]) == (
            record["coder"],
            record["explainer"],
            str(record["latent"]),
        )
        for scorer, score in record["scores"].items():
            shown = [row[scorer], row[f"{scorer}_floor"], row[f"{scorer}_n"]]
            known = [None, None, None] if score is None else [score["score"], score["floor"], score["n"]]
            assert shown == ["" if value is None else str(value) for value in known]


def test_a_coder_and_an_explainer_can_be_chosen(export: Export) -> None:
    (path,) = export("jsonl", "--coder", "two", "--explainer", "llm").iterdir()
    found = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    assert [(row["coder"], row["explainer"], row["latent"]) for row in found] == [("two", "llm", 2), ("two", "llm", 7)]
