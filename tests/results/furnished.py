"""A working folder in which everything before the report has run, small enough to check by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages import outputs, paths
from stages.bootstrap import Figure
from stages.corpus import tokens
from stages.corpus.tokens import Tokens
from stages.examples import table as examples
from stages.explainers import table as explanations
from stages.explainers.table import Explanation
from stages.params import LATENT
from stages.scorers import intruder, summary
from stages.scorers import table as scores
from stages.scorers.metrics import AUROC, BALANCED_ACCURACY
from stages.similarity import table as similarity

HOSTILE = "</script><img src=x onerror=alert(1)> \"quoted\" & 'so' \u202eover\u202c \x1b[31mred\u2028"
WORDS = [b"<end>", b" cat", b"</script>", b"\n", b"\xc3", b"\xa9", "\u202e".encode(), b" dog", b"\x1b[2J", b" a"]
CAT, SCRIPT, NEWLINE, E1, E2, OVERRIDE, DOG, ESCAPE, A = range(1, 10)
PARAMS = """\
corpus: {source: text, path: texts, context_length: 8, tokens: 80}
subject: {model: demo/subject}
coders:
  one: {path: coders/one, hookpoint: layers.0}
  two: {path: coders/two, hookpoint: layers.1}
sampling: {latents: [2, 5, 7], window: 4}
explainers: {pattern: {kind: pattern}, llm: {kind: default}}
scorers: {detection: {kind: detection}, embedding: {kind: embedding}, intruder: {kind: intruder}}
report: {examples: 3}
"""
WINDOWS = {
    "train": [
        (0, [CAT, SCRIPT, A, A], [8.0, 0, 0, 0]),
        (3, [A, E1, E2, A], [0, 1.0, 5.0, 0]),
        (5, [A, A, A, CAT], [0, 0, 0, 2.0]),
    ],
    "test": [
        (1, [A, NEWLINE, OVERRIDE, 0], [0, 7.0, 0.5, 0]),
        (4, [DOG, A, A, ESCAPE], [0, 0, 0, 4.0]),
        (9, [A, A, A, A], [0.25, 0, 0, 0]),
    ],
    "negative": [(7, [DOG, DOG, DOG, DOG], [0, 0, 0, 0])],
}  # role: (window, tokens, activations)


def vocabulary() -> tokens.Vocabulary:
    special = np.zeros(len(WORDS), bool)
    special[0] = True
    return tokens.Vocabulary(WORDS, np.ones(len(WORDS), np.int64), special)


def furnish(folder: Path) -> None:
    """Writes params.yaml and data/ into ``folder``, which has to be the current one."""
    (folder / "params.yaml").write_text(PARAMS)
    documents = pa.table(
        {"name": ["first", "second <b>"], "start": pa.array([0, 16], pa.int64()), "n_tokens": [16, 64]}
    )
    meta = {
        "documents": 2,
        "special_positions": 16,
        "tokenizer": {"model": "demo/subject", "revision": None, "size": 10},
    }
    matrix = np.full((20, 4), A, np.int32)
    for windows in WINDOWS.values():
        for number, ids, _ in windows:
            matrix[number] = ids
    tokens.write(paths.TOKENS, matrix.reshape(10, 8), documents, vocabulary(), meta)
    for place, coder in enumerate(("one", "two")):
        _examples(coder, f"layers.{place}")
        _explain(coder, "pattern", [(2, "the word cat", None), (7, None, "no rule fits")])
        _explain(coder, "llm", [(2, HOSTILE, None), (7, "dogs", None)])
        for explainer in ("pattern", "llm"):
            _score(coder, explainer, "detection", "balanced_accuracy", 0.8 + place / 10)
            _score(coder, explainer, "embedding", "auroc", 0.6)
        _intruder(coder)
    pairs = [_pair("pattern", 0.512345), _pair("llm", None)]
    ceilings = {"pattern": {"one": {"value": 0.75, "n": 3}, "two": {"value": 0.65, "n": 3}}}
    found = similarity.Content(_matches(), similarity.splits_schema().empty_table(), _lists(), {}, {})
    choice = {"rule": "all", "compared": 1, "of": 1, "left_out": {}}
    meta = {"pairs": pairs, "ceilings": ceilings, "choice": choice}
    similarity.write(paths.SIMILARITY, found._replace(meta=meta))


def _examples(coder: str, hookpoint: str) -> None:
    kept = {"count": 12, "density": 0.1875, "max": 8.0, "mean": 2.5, "histogram": [6, 4, 2], "n_windows": 6}
    kept |= {"top_tokens": [CAT, SCRIPT], "top_values": [1.5, 1.25], "bottom_tokens": [ESCAPE], "bottom_values": [-1.0]}
    dropped = dict.fromkeys(kept) | {"count": 0, "dropped": "never fires"}
    latents = [{"latent": 2, **kept}, {"latent": 5, **dropped}, {"latent": 7, **kept}]
    schema = examples.latents_schema()
    rows = [dict.fromkeys(schema.names) | latent for latent in latents]
    windows = []
    for latent in (2, 7):
        for part, found in WINDOWS.items():
            for decile, (number, _, values) in enumerate(found, 1):
                row = {"latent": latent, "role": part, "decile": decile, "start": 4 * number, "max": max(values)}
                row["activations"] = values
                silent = {"role": "test", "kind": "random", "decile": 0, "activations": None}
                windows.append({"kind": None, **row, **(silent if part == "negative" else {})})
    meta: dict[str, Any] = {
        "hookpoint": hookpoint,
        "subject": {"model": "demo/subject", "weights": "trained"},
        "n_latents": 10,
        "n_events": 160,
        "dead": 1,
        "window": 4,
        "windows": 20,
        "chosen": 3,
        "kept": 2,
        "tokens_sha256": Tokens.open().sha256,
        "dropped": {"never fires": 1},
    }
    with outputs.new_directory(paths.examples(coder)) as partial:
        outputs.write_table(partial / "latents.parquet", pa.Table.from_pylist(rows, schema))
        outputs.write_table(partial / "windows.parquet", pa.Table.from_pylist(windows, examples.windows_schema()))
        outputs.write_meta(partial, examples.SCHEMA, examples.VERSION, meta)


def _explain(coder: str, explainer: str, found: list[tuple[int, str | None, str | None]]) -> None:
    explanations.write(
        paths.explanations(coder, explainer),
        [Explanation(latent, text, reason, {}) for latent, text, reason in found],
        {},
    )


def _score(coder: str, explainer: str, scorer: str, metric: str, score: float) -> None:
    """Latent 2 has a score and a floor; latent 7 was judged in vain by detection, and not at all by the other."""
    figure, floor = Figure(score, score - 0.1, score + 0.1), Figure(0.5, 0.4, 0.6)
    rows = [summary.score_row("own", 2, figure, 9, 1), summary.score_row("shuffled", 2, floor, 10, 0)]
    if scorer == "detection":
        rows.append(summary.score_row("own", 7, Figure(None, reason="no verdict"), 0, 10))
    natural = "natural_f1" if scorer == "detection" else "natural_auprc"
    of = {(metric, "all"): score, (natural, "all"): score / 10, (metric, "negatives random"): score}
    if scorer == "detection":
        of |= {
            ("sensitivity", "decile 1"): 1.0,
            ("sensitivity", "decile 2"): 0.75,
            (metric, "negatives surface"): score / 2,
        }
    measures = [summary.measure_row("own", 2, *name, Figure(value), 9) for name, value in of.items()]
    own: dict[str, Any] = {}
    for (name, part), value in of.items():
        own.setdefault(name, {})[part] = {"value": value, "low": value - 0.1, "high": value + 0.1, "n_latents": 1}
    shuffled = {metric: {"all": {"value": 0.5, "low": 0.4, "high": 0.6, "n_latents": 1}}}
    nothing = {"latents": 0, "latents_by_reason": {}, "examples": 0, "examples_by_reason": {}}
    lost = {
        "latents": 1,
        "latents_by_reason": {"no verdict": 1},
        "examples": 11,
        "examples_by_reason": {"no answer": 11},
    }
    meta = {
        **{"balanced_accuracy": BALANCED_ACCURACY, "auroc": AUROC}[metric].facts(),
        "overall": {"own": own, "shuffled": shuffled},
        "unscored": {"own": lost, "shuffled": nothing},
    }
    found = summary.from_rows(rows, measures)
    with scores.writing(paths.scores(coder, explainer, scorer)) as (writer, into):
        writer.add(scores.verdicts_schema().empty_table(), *found)
        into |= meta


def _intruder(coder: str) -> None:
    """Latent 2 has a score, latent 7 none."""
    rows = [
        summary.score_row("own", 2, Figure(0.75, 0.5, 1.0), 4, 0),
        summary.score_row("own", 7, Figure(None, reason="no decile has 4"), 0, 0),
    ]
    parts = {"all": 0.75, "decile 1": 1.0, "decile 2": 0.5}
    measures = [summary.measure_row("own", 2, "accuracy", of, Figure(value), 4) for of, value in parts.items()]
    own = {of: {"value": value, "low": value, "high": value, "n_latents": 1} for of, value in parts.items()}
    lost = {"latents": 1, "latents_by_reason": {"no decile has 4": 1}, "examples": 0, "examples_by_reason": {}}
    meta = {**intruder.Options.METRIC.facts(), "overall": {"own": {"accuracy": own}}, "unscored": {"own": lost}}
    found = summary.from_rows(rows, measures)
    with scores.writing(paths.scores(coder, LATENT, "intruder")) as (writer, into):
        writer.add(scores.verdicts_schema().empty_table(), *found)
        into |= meta


def _pair(explainer: str, cosine: float | None) -> dict[str, Any]:
    figure = {"n": 2, "reason": "too few latents are matched"} if cosine is None else _figure(0.25)
    meaning = {"n": 2, "reason": "too few latents are matched"} if cosine is None else _figure(cosine)
    unread = {"n": 0, "reason": "activations are not read"}
    return {
        "a": "one",
        "b": "two",
        "explainer": explainer,
        "same_subject": True,
        "same_place": True,
        "layer_distance": 1,
        "controls": [],
        "matched_by": "decoder",
        "method": "assignment",
        "n_matched": 2,
        "reason": None,
        "similarity": {
            **{
                kind: {**figure, **({} if cosine is None else {"random": 0.125})}
                for kind in ("decoder", "encoder", "both")
            },
            "pearson": unread,
            "jaccard": unread,
        },
        "meaning": {
            "cosine": meaning,
            "floors": dict.fromkeys(("random", "shuffled", "density", "frequency"), figure),
            "significance": {"classes_a": 1, "classes_b": 2, **({} if cosine is None else {"p": 0.04})},
        },
        "sets": {**dict.fromkeys(("best_a", "best_b", "energy"), figure), "cka": unread},
        "firing": {"density_distance": figure, "density_correlation": figure},
    }


def _figure(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.125, "high": value + 0.125, "n": 2}


def _matches() -> pa.Table:
    """Latent 2 of ``one`` is matched to 7 of ``two`` and 7 to 2."""
    rows = [
        {"coder_a": "one", "coder_b": "two", "explainer": "llm", "latent_a": a, "latent_b": b, "decoder_cosine": 0.9}
        for a, b in ((2, 7), (7, 2))
    ]
    return pa.Table.from_pylist(rows, similarity.matches_schema())


def _lists() -> dict[str, Any]:
    pair = {"direction": 0.9, "meaning": 0.1, "latent_a": 2, "latent_b": 3}
    pair |= {"explanation_a": HOSTILE, "explanation_b": "dogs"}
    steps = [("one", 2, None, HOSTILE), ("two", 3, 0.8, None)]
    chain = [dict(zip(("coder", "latent", "direction", "explanation"), step, strict=True)) for step in steps]
    lonely = {"latent": 7, "explanation": "dogs", "nearest_coder": "two", "nearest_latent": 2, "direction": 0.2}
    both = {"same_direction_different_meaning": [pair], "same_meaning_different_direction": []}
    found = {
        "pairs": [{"a": "one", "b": "two", "direction": "decoder", **both}],
        "unique": {"one": [lonely], "two": []},
        "chains": [{"coders": ["one", "two"], "counts": {"2": 1}, "chains": [chain]}],
    }
    return {"llm": found, "pattern": {"pairs": [], "unique": {}, "chains": []}}
