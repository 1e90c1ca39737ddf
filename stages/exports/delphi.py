"""``delphi``: the results folder of EleutherAI/delphi, one for every coder and explainer.

``explanations/<module>_latent<i>.txt`` is a JSON string, ``scores/<scorer>/<module>_latent<i>.txt`` a list of JSON objects,
one for every judged example, and ``log/hookpoint_firing_counts.pt`` says how often latents fire, as ``load_data`` of
delphi/log/result_analysis.py (0.1.3) reads them. It reads all scores as those of a classifier, and ends at the form in which delphi
itself writes those of embeddings; so they have the similarity for a probability, and no prediction. Its quantiles count from 0, the
strongest. Tokens that only together spell a character (``corpus.units``) are one of ``str_tokens``, with the largest of their activations.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from stages import paths
from stages.corpus.tokens import Tokens
from stages.corpus.units import largest, units
from stages.examples.table import Examples, LatentExamples
from stages.explainers.table import texts
from stages.latents.store import LatentStore
from stages.machine.counted import listed
from stages.outputs import dumps
from stages.params import Params
from stages.scorers import table as scores_table

CLASSIFIERS = {"detection": "detection", "fuzzing": "fuzz"}
"""What delphi calls our kinds that say yes or no."""
EMBEDDING = "embedding"
COUNTS = "hookpoint_firing_counts.pt"


def write(p: Params, folder: Path) -> str:
    """Writes ``<coder>-<explainer>/`` with explanations, scores, firing counts and run_config.json; see ``exports.Export``."""
    tokens = Tokens.open()
    explained = scored = 0
    uncounted = [coder for coder in p.coders if not paths.latents(coder).is_dir()]
    for coder in p.coders:
        examples = Examples.open(paths.examples(coder))
        module = examples.meta["hookpoint"].replace("/", "--")
        counts = None if coder in uncounted else LatentStore.open(paths.latents(coder)).statistic("count")
        for explainer in p.explainers:
            place = folder / f"{coder}-{explainer}"
            explanations = place / "explanations"
            explanations.mkdir(parents=True)
            for latent, text in texts(paths.explanations(coder, explainer)).items():
                _dump(explanations / file_name(module, latent), text)
                explained += 1
            for scorer, name in scorer_names(p).items():
                found = place / "scores" / name
                found.mkdir(parents=True)
                for latent, items in _items(p, examples, tokens, (coder, explainer, scorer)):
                    _dump(found / file_name(module, latent), items)
                    scored += 1
            config = {"model": p.subject.model, "hookpoints": [module], "name": place.name, "seed": p.seed}
            (place / "run_config.json").write_text(dumps(config), encoding="utf-8")
            if counts is not None:
                (place / "log").mkdir()
                torch.save({module: torch.from_numpy(counts.astype(np.int64))}, place / "log" / COUNTS)
    without = f", no firing counts of {listed(uncounted)}, whose activations are not here" if uncounted else ""
    return f"{explained} explanations, {scored} files of scores{without}"


def file_name(module: str, latent: int) -> str:
    """What delphi calls the file of a latent."""
    return f"{module}_latent{latent}.txt"


def scorer_names(p: Params) -> dict[str, str]:
    """{scorer: delphi's name of its kind}; a scorer has its own name where several are of a kind."""
    known = {**CLASSIFIERS, EMBEDDING: EMBEDDING}
    kinds = {name: entry["kind"] for name, entry in p.scorers.items() if entry["kind"] in known}
    times = Counter(kinds.values())
    return {name: known[kind] if times[kind] == 1 else name for name, kind in kinds.items()}


def _items(
    p: Params, examples: Examples, tokens: Tokens, names: tuple[str, str, str]
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yields every latent that was judged by its own explanation, and what was said of its examples."""
    verdicts = scores_table.read_verdicts(paths.scores(*names))
    verdicts = verdicts.filter(pc.equal(verdicts["explanation"], scores_table.OWN))
    judged = {latent: rows.to_pylist() for (_, latent), rows in scores_table.by_item(verdicts)}
    for example in examples.of(list(judged)):
        windows = _windows(example)
        found = [
            _judged(row, *windows[row["window"]], tokens) for row in judged[example.latent] if row["window"] in windows
        ]
        yield example.latent, found


def _windows(example: LatentExamples) -> dict[int, tuple[list[int], NDArray[np.float32]]]:
    """{start: (tokens, activations)} of the windows held out."""
    return {
        start: (ids, values)
        for part in (example.test, example.negative)
        for start, ids, values in zip(part.starts.tolist(), part.tokens.tolist(), part.activations, strict=True)
    }


def _judged(row: dict[str, Any], ids: list[int], activations: NDArray[np.float32], tokens: Tokens) -> dict[str, Any]:
    predicted, shown = row["predicted"], units(ids, tokens.vocabulary)
    return {
        "str_tokens": [unit.text for unit in shown],
        "activations": largest(shown, activations).tolist(),
        "distance": row["decile"] - 1,  # of a silent window 0, and so -1, as delphi has it
        "activating": row["active"],
        "prediction": predicted,
        "probability": row["value"],
        "correct": None if predicted is None else predicted == row["active"],
    }


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
