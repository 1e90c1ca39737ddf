"""Latents of one's own making as the sample stage writes them, for tests of the real ``score`` command."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages import outputs, paths
from stages.corpus import tokens
from stages.examples import table as examples
from stages.explainers import table as explanations
from stages.explainers.table import Explanation
from tests.scorers import planted

Row = tuple[list[int], list[float]]
"""Tokens of a window and the activations on them."""


@dataclass
class Latent:
    """The windows of one latent; those in which it fires have their decile, the others their kind."""

    test: list[tuple[int, Row]]
    negative: list[tuple[str, list[int]]] = field(default_factory=list)
    train: list[tuple[int, Row]] = field(default_factory=list)
    n_windows: int = 10


def firing(on: int, n: int, per_decile: int = 4, seed: int = 0) -> list[tuple[int, Row]]:
    """``n`` windows of filler in which the latent fires on one token."""
    made = planted.windows(n, on, 0, seed)
    rows = zip(made.tokens.tolist(), made.activations.tolist(), strict=True)
    return [(1 + place // per_decile, row) for place, row in enumerate(rows)]


def silent(n: int, kind: str = "random", seed: int = 1) -> list[tuple[str, list[int]]]:
    """``n`` windows of filler."""
    return [(kind, row) for row in planted.windows(n, None, 0, seed).tokens.tolist()]


def furnish(
    latents: Mapping[int, Latent],
    explained: Mapping[str, Mapping[int, str]],
    scorers: Mapping[str, Any],
    per_decile: int = 4,
    random: int = 20,
) -> None:
    """Writes params.yaml, tokens, examples of the coder ``one`` and explanations into the current folder."""
    sampling = {
        "latents": "all",
        "window": planted.SIZE,
        "train": {"n": 1},
        "test": {"per_decile": per_decile, "negatives": {"random": random}},
    }
    entries = {name: {"kind": "pattern"} for name in explained}
    Path("params.yaml").write_text(
        f"corpus: {{source: text, path: texts, context_length: {planted.SIZE}, tokens: 80}}\n"
        "subject: {model: subject}\ncoders: {one: {path: coders/one, hookpoint: layers.0}}\n"
        f"sampling: {json.dumps(sampling)}\nexplainers: {json.dumps(entries)}\nscorers: {json.dumps(scorers)}\n"
    )
    rows, corpus = list(_rows(latents)), []
    for row in rows:
        row["start"] = planted.SIZE * len(corpus)
        corpus.append(row.pop("tokens"))
    documents = pa.table(
        {"name": ["all"], "start": pa.array([0], pa.int64()), "n_tokens": [planted.SIZE * len(corpus)]}
    )
    meta = {"documents": 1, "special_positions": 0, "tokenizer": {"model": "subject", "revision": None, "size": 8}}
    tokens.write(paths.TOKENS, np.array(corpus, np.int32), documents, planted.vocabulary(), meta)
    facts = {"count": 10, "density": 0.1, "max": 5.0, "mean": 2.0, "histogram": [1]}
    kept = [{"latent": number, **facts, "n_windows": latent.n_windows} for number, latent in latents.items()]
    about = {"hookpoint": "layers.0", "subject": {"model": "subject", "weights": "trained"}, "window": planted.SIZE}
    about |= {"tokens_sha256": tokens.Tokens.open().sha256, "windows": 100, "n_latents": max(latents) + 1}
    with outputs.new_directory(paths.examples("one")) as partial:
        schema = examples.latents_schema()
        found = pa.Table.from_pylist([dict.fromkeys(schema.names) | one for one in kept], schema)
        outputs.write_table(partial / "latents.parquet", found)
        with examples.WindowsWriter(partial / "windows.parquet") as writer:
            writer.add(pa.Table.from_pylist(rows, examples.windows_schema()))
        outputs.write_meta(partial, examples.SCHEMA, examples.VERSION, about)
    for name, texts in explained.items():
        said = [Explanation(latent, text, None, {}) for latent, text in texts.items()]
        explanations.write(paths.explanations("one", name), said, {})


def _rows(latents: Mapping[int, Latent]) -> Iterable[dict[str, Any]]:
    for number, latent in sorted(latents.items()):
        for role, part in (("train", latent.train), ("test", latent.test)):
            for decile, (ids, values) in part:
                row = {"latent": number, "role": role, "kind": None, "decile": decile, "max": max(values)}
                yield row | {"activations": values, "tokens": ids}
        for kind, ids in latent.negative:
            row = {"latent": number, "role": "test", "kind": kind, "decile": 0, "max": 0.0}
            yield row | {"activations": None, "tokens": ids}
