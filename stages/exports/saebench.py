"""``saebench``: one file for every coder, explainer and detection scorer in the shape of SAEBench's autointerp evaluation.

A latent's score there is the accuracy of the verdicts on its examples, and so it is here; examples without a verdict are
left out. Their protocol has 4 active examples of 14, so figures compare only with others of the same sampling, which
``eval_config`` and the logs tell.
"""

from __future__ import annotations

import json
import statistics
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from stages import __version__, paths
from stages.examples.table import Examples
from stages.explainers.table import texts
from stages.outputs import fingerprint
from stages.params import Params
from stages.scorers import table as scores_table
from stages.wiring import git, locks

KIND = "detection"


def write(p: Params, folder: Path) -> str:
    """Writes ``<release>_<coder>_eval_results.json``, the release being explainer and scorer; see ``exports.Export``."""
    change = git.last_change(locks.LOCK, *map(locks.of_coder, p.coders))
    when = int(datetime.fromisoformat(change.split()[1]).timestamp() * 1000) if change else 0
    n = 0
    for coder in p.coders:
        examples = Examples.open(paths.examples(coder))
        for explainer in p.explainers:
            for scorer, entry in p.scorers.items():
                latents = _latents((coder, explainer, scorer)) if entry["kind"] == KIND else {}
                if latents:  # without any there is no mean, and the format has no null
                    found = _evaluation(p, examples, (coder, explainer, scorer), latents, when)
                    name = f"glossa_{explainer}_{scorer}_{coder}_eval_results.json"
                    (folder / name).write_text(json.dumps(found, indent=2, ensure_ascii=False), encoding="utf-8")
                    n += 1
    return f"{n} evaluations"


def _evaluation(
    p: Params, examples: Examples, names: tuple[str, str, str], latents: dict[str, Any], when: int
) -> dict[str, Any]:
    coder, explainer, scorer = names
    scores = [found["score"] for found in latents.values()]
    config = _config(p, examples, len(latents))
    return {
        "eval_type_id": "autointerp",
        "eval_config": config,
        # Of the content, so that the same results have the same name.
        "eval_id": str(uuid.UUID(fingerprint([names, config, latents])[:32])),
        "datetime_epoch_millis": when,
        "eval_result_metrics": {
            "autointerp": {
                "autointerp_score": statistics.fmean(scores),
                "autointerp_std_dev": statistics.stdev(scores) if len(scores) > 1 else 0.0,
            }
        },
        "eval_result_details": [],
        "sae_bench_commit_hash": f"glossa {__version__}",
        "sae_lens_id": coder,
        "sae_lens_release_id": f"glossa_{explainer}_{scorer}",
        "sae_lens_version": "",
        "sae_cfg_dict": {**examples.meta.get("coder", {}), "hook_name": examples.meta["hookpoint"]},
        "eval_result_unstructured": latents,
    }


def _config(p: Params, examples: Examples, n_latents: int) -> dict[str, Any]:
    """SAEBench's settings, those that have no counterpart here at 0 or off."""
    test = p.sampling.test
    return {
        "model_name": p.subject.model,
        "n_latents": n_latents,
        "override_latents": None,
        "dead_latent_threshold": p.sampling.min_activations,
        "random_seed": p.seed,
        "dataset_name": str(p.corpus.model_dump().get("path") or p.corpus.source),
        "llm_context_size": p.corpus.context_length,
        "llm_batch_size": 0,
        "llm_dtype": p.subject.dtype,
        "buffer": examples.meta["window"] // 2,
        "no_overlap": True,
        "act_threshold_frac": 0.0,
        "total_tokens": p.corpus.tokens,
        "scoring": True,
        "max_tokens_in_explanation": 0,
        "use_demos_in_explanation": False,
        "n_top_ex_for_generation": p.sampling.train.n,
        "n_iw_sampled_ex_for_generation": 0,
        "n_top_ex_for_scoring": 0,
        "n_random_ex_for_scoring": sum(test.negatives.values()),
        "n_iw_sampled_ex_for_scoring": 10 * test.per_decile,
    }


def _latents(names: tuple[str, str, str]) -> dict[str, Any]:
    coder, explainer, _ = names
    explained = texts(paths.explanations(coder, explainer))
    verdicts = scores_table.read_verdicts(paths.scores(*names))
    chosen = pc.and_(pc.equal(verdicts["explanation"], scores_table.OWN), verdicts["predicted"].is_valid())
    found = {}
    for (_, latent), rows in scores_table.by_item(verdicts.filter(chosen)):
        active, predicted = rows["active"].to_pylist(), rows["predicted"].to_pylist()
        right = sum(truth == said for truth, said in zip(active, predicted, strict=True))
        found[str(latent)] = {
            "latent": latent,
            "explanation": explained.get(latent, ""),
            "logs": f"{len(active)} examples, {sum(active)} of them active; numbers count in the order of the verdicts",
            "predictions": [place for place, said in enumerate(predicted, 1) if said],
            "correct seqs": [place for place, truth in enumerate(active, 1) if truth],
            "score": right / len(active),
        }
    return found
