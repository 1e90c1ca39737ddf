"""The page on what the sparse coders have in common: its tables and the lists that people read."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa

from stages import paths
from stages.results.reading import Results
from stages.similarity import table as similarity_table
from stages.text.display import sentence

Entry = dict[str, Any]


def shown(results: Results) -> dict[str, Any]:
    """Returns the lists of data/similarity by explainer, every latent with its scores and, if it has one, its page.

    A family of coders whose latents are followed from layer to layer has the pairs in it that were not compared, as ``broken``.
    """
    compared = {frozenset({pair["a"], pair["b"]}) for pair in results.pairs}
    return {
        explainer: {
            "chains": [
                {
                    "coders": family["coders"],
                    "broken": [two for two in pairwise(family["coders"]) if frozenset(two) not in compared],
                    "counts": sorted(family["counts"].items(), key=lambda item: int(item[0])),
                    "chains": [
                        [
                            _side(results, explainer, step["coder"], step["latent"], step["explanation"])
                            | {"direction": step["direction"]}
                            for step in chain
                        ]
                        for chain in family["chains"]
                    ],
                }
                for family in found["chains"]
            ],
            "unique": {
                coder: [
                    {
                        "direction": entry["direction"],
                        "first": _side(results, explainer, coder, entry["latent"], entry["explanation"]),
                        "second": _side(results, explainer, entry["nearest_coder"], entry["nearest_latent"], None),
                    }
                    for entry in entries
                ]
                for coder, entries in found["unique"].items()
            },
            "pairs": [
                {
                    "a": pair["a"],
                    "b": pair["b"],
                    "noisy": _both(results, explainer, pair, "same_direction_different_meaning"),
                    "moved": _both(results, explainer, pair, "same_meaning_different_direction"),
                }
                for pair in found["pairs"]
            ],
        }
        for explainer, found in results.lists.items()
    }


def _both(results: Results, explainer: str, pair: Entry, name: str) -> list[Entry]:
    return [
        {
            "direction": entry["direction"],
            "meaning": entry["meaning"],
            "first": _side(results, explainer, pair["a"], entry["latent_a"], entry["explanation_a"]),
            "second": _side(results, explainer, pair["b"], entry["latent_b"], entry["explanation_b"]),
        }
        for entry in pair[name]
    ]


def _side(results: Results, explainer: str, coder: str, latent: int, text: str | None) -> Entry:
    scores = []
    known = results.coders.get(coder)
    for scorer, found in known.scores[explainer].items() if known else ():
        own = found.own.get(latent)
        if own is not None and own.score is not None:
            scores.append(f"{scorer} {own.score:.2f}")
    has_page = known is not None and latent in known.explanations[explainer]
    return {"coder": coder, "latent": latent, "text": text and sentence(text), "scores": scores, "page": has_page}


def scored_matches(results: Results) -> pa.Table:
    """Returns the matches of data/similarity with two columns for every scorer, ``<scorer>_a`` and ``<scorer>_b``.

    They hold the scores of both explanations, null where there is none.
    """
    matches, _ = similarity_table.read(paths.SIMILARITY)
    names = ("explainer", "coder_a", "latent_a", "coder_b", "latent_b")
    columns = {name: matches[name].to_pylist() for name in names}
    for scorer in results.scorers:
        for side in ("a", "b"):
            keys = zip(columns["explainer"], columns[f"coder_{side}"], columns[f"latent_{side}"], strict=True)
            scores = [_score(results, scorer, *key) for key in keys]
            matches = matches.append_column(f"{scorer}_{side}", pa.array(scores, pa.float64()))
    return matches


def _score(results: Results, scorer: str, explainer: str, coder: str, latent: int) -> float | None:
    known = results.coders.get(coder)
    own = known.scores[explainer][scorer].own.get(latent) if known else None
    return own.score if own else None
