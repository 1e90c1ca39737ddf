"""What a page loads first: names, which shards there are, and facts about coders, explainers and scorers."""

from __future__ import annotations

from typing import Any

from stages import __version__
from stages.params import Params
from stages.results import imports
from stages.results.reading import CoderResults, Results, Scores
from stages.scorers.metrics import called
from stages.similarity.table import MATCHED_BY
from stages.site import provenance
from stages.site.digits import shortened
from stages.text.display import sentence, visible

VERSION = 1
THRESHOLD = 0.3
"""The share of a window's maximum from which on prompts mark a token, where params.yaml names no other."""


def manifest(p: Params, results: Results, shards: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns the manifest; ``shards`` is what there is of every coder."""
    subject = subject_of(results)
    of_latents = {name: coder for coder in results.coders.values() for name in coder.of_latents}
    return {
        "version": VERSION,
        "title": f"What the latents of {subject} respond to",
        "subject": subject,
        "made": {
            "glossa": __version__,
            "seed": p.seed,
            "corpus": sentence(p.corpus.source),
            "tokens": results.ordinary_tokens,
        },
        "examples": p.report.examples,
        "window": p.sampling.window,
        "threshold": threshold(p),
        "explainers": results.explainers,
        "explainer_facts": {name: provenance.of_explainer(p, results, name) for name in results.explainers},
        "explainers_made": made(p, results),
        "scorers": [
            *(_scorer(p, results, name, False) for name in results.scorers),
            *(_scorer(p, results, name, True) for name in results.scorers_of_latents if name in of_latents),
        ],
        "scorer_facts": {name: provenance.of_scorer(p, results, name) for name in p.scorers},
        "coders": [_coder(p, results, coder, shards[coder.name]) for coder in results.coders.values()],
    }


def subject_of(results: Results) -> str:
    """What the subject is called where people read it."""
    subject = next(iter(results.coders.values())).meta["subject"]
    name = visible(provenance.place(subject["model"]))
    return f"{name} with random weights" if subject["weights"] == "random" else name


def threshold(p: Params) -> float:
    """From which share of a window's maximum on a token is marked in prompts."""
    entries = [*p.explainers.values(), *p.scorers.values()]
    return next((entry["threshold"] for entry in entries if "threshold" in entry), THRESHOLD)


def made(p: Params, results: Results) -> dict[str, str]:
    """Returns, by explainer, how explanations were made that were made elsewhere."""
    found = {name: imports.said(p, results.coders.values(), name) for name in results.explainers}
    return {name: said for name, said in found.items() if said is not None}


def _scorer(p: Params, results: Results, name: str, of_latents: bool) -> dict[str, Any]:
    scores = next(_all_scores(results, name, of_latents))
    return {
        "name": name,
        "kind": p.scorers[name]["kind"],
        "metric": scores.metric,
        "floor": "chance" if of_latents else "floor",
        "natural": called(scores.natural_metric),
        "bounded": scores.is_bounded,
        "chance": scores.chance,
        "of_latents": of_latents,
    }


def _all_scores(results: Results, name: str, of_latents: bool) -> Any:
    for coder in results.coders.values():
        for scorers in [coder.of_latents] if of_latents else coder.scores.values():
            if name in scorers:
                found: Scores = scorers[name]
                yield found


def _coder(p: Params, results: Results, coder: CoderResults, shards: dict[str, Any]) -> dict[str, Any]:
    meta = coder.meta
    pairs = (pair for pair in results.pairs if coder.name in (pair["a"], pair["b"]))
    return {
        "name": coder.name,
        "kind": coder.kind,
        "hookpoint": visible(coder.hookpoint),
        "n_latents": meta["n_latents"],
        "dead": meta["dead"],
        "chosen": meta["chosen"],
        "kept": meta["kept"],
        "dropped": [[sentence(reason), n] for reason, n in sorted(meta["dropped"].items())],
        "l0": shortened(results.l0(coder)),
        "matched_by": next((MATCHED_BY[pair["matched_by"]] for pair in pairs), None),
        **({"writes": [visible(place) for place in meta["writes"]]} if "writes" in meta else {}),
        **shards,
        "provenance": provenance.of_coder(p, results, coder),
    }
