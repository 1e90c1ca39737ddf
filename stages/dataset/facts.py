"""What the card says about the data set: all that decided it, in plain values, as meta.json holds it too."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages import __version__, paths
from stages.errors import GlossaError, said
from stages.llm.journal import transcript
from stages.llm.reply import shown
from stages.params import LATENT, Params
from stages.results import imports
from stages.results.reading import CoderResults, Results, Scores

CODER = ("format", "path", "sha256", "activation", "k")
SAMPLED = ("n_latents", "chosen", "kept", "dropped")


def facts(p: Params, found: Results, rows: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Returns subject, corpus, coders, models, sampling and scores; ``rows`` are the rows of every file.

    Raises:
        GlossaError: a transcript is damaged.
    """
    coders = found.coders.values()
    return {
        "glossa": __version__,
        "rows": rows,
        "seed": p.seed,
        "subjects": _distinct(coder.meta["subject"] for coder in coders),
        "corpus": {
            **p.corpus.model_dump(exclude_none=True),
            **{name: value for name, value in found.tokens.meta.items() if name not in ("schema", "version")},
        },
        "coders": {coder.name: _coder(coder) for coder in coders},
        "sampling": p.sampling.model_dump(mode="json"),
        "explainers": {
            explainer: {
                "options": p.explainers[explainer],
                "explained": {coder.name: coder.explained(explainer) for coder in coders},
                "unexplained": {coder.name: coder.unexplained(explainer) for coder in coders},
                **_made(p, found, explainer),
                **asked([paths.explanations(coder.name, explainer) for coder in coders]),
            }
            for explainer in p.explainers
        },
        "scorers": {
            scorer: {"options": entry, **asked(_folders(found, scorer))} for scorer, entry in p.scorers.items()
        },
        "scores": [
            _score(coder.name, explainer, scorer, scores)
            for coder in coders
            for explainer, scored in [*coder.scores.items(), (LATENT, coder.of_latents)]
            for scorer, scores in scored.items()
        ],
    }


def _made(p: Params, found: Results, explainer: str) -> dict[str, Any]:
    """How explanations were made that an explainer did not make; nothing of the others."""
    made = imports.said(p, found.coders.values(), explainer)
    return {} if made is None else {"made": made, "by_hand": imports.is_by_hand(p, explainer)}


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    found += (value for value in values if value not in found)
    return found


def _coder(coder: CoderResults) -> dict[str, Any]:
    known = coder.meta.get("coder", {})
    return {
        "hookpoint": coder.hookpoint,
        "subject": coder.meta["subject"]["model"],
        "weights": coder.meta["subject"].get("weights"),
        **{name: known[name] for name in CODER if known.get(name) is not None},
        **{name: coder.meta[name] for name in SAMPLED},
    }


def _folders(found: Results, scorer: str) -> list[Path]:
    return [
        paths.scores(coder.name, explainer, scorer)
        for coder in found.coders.values()
        for explainer, scored in [*coder.scores.items(), (LATENT, coder.of_latents)]
        if scorer in scored
    ]


def _score(coder: str, explainer: str, scorer: str, scores: Scores) -> dict[str, Any]:
    numbers = {name: scores.overall(name) for name in ("score", "low", "high", "n_latents")}
    return {
        "coder": coder,
        "explainer": explainer,
        "scorer": scorer,
        "metric": scores.meta["metric"],
        **numbers,
        "floor": scores.overall_floor,
        "unscored_latents": scores.unscored["latents"],
        "unscored_examples": scores.unscored["examples"],
    }


def asked(folders: list[Path]) -> dict[str, Any]:
    """Which models were asked under which instructions, by the first calls of every transcript.

    ``instructions`` are sha256 of the first message where that is the system's. Empty if no model was asked.
    """
    models: Counter[tuple[str, str, str]] = Counter()
    instructions: set[str] = set()
    for path in (folder / transcript.NAME for folder in folders):
        if path.is_file():
            for row in _first_calls(path):
                asked, answered = json.loads(row["request"]), _json(row["response"])
                models[row["endpoint"], str(asked.get("model", "")), shown(answered.get("model"))] += 1
                messages = asked.get("messages") or [{}]
                if messages[0].get("role") == "system":
                    instructions.add(hashlib.sha256(str(messages[0]["content"]).encode()).hexdigest())
    if not models:
        return {}
    named = [
        {"endpoint": endpoint, "asked": asked, "answered": answered} for endpoint, asked, answered in sorted(models)
    ]
    return {"models": named, "instructions": sorted(instructions)}


def _first_calls(path: Path) -> list[dict[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            return file.read_row_group(0, ["endpoint", "request", "response"]).to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        why = said(error, whole=True)
        raise GlossaError(f"expected a transcript in {path}, but it can't be read ({why}); run dvc repro") from None


def _json(text: str) -> dict[str, Any]:
    """An answer, which may be anything."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
