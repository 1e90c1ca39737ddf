"""Activations + tokens -> the tables of data/examples/<coder>."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages import params
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.examples.choose import choose
from stages.examples.table import latents_schema, windows_schema
from stages.examples.windows import firing, gather, generator_of, silent_windows, split
from stages.latents.store import LatentStore
from stages.progress import bar


class Sampled(NamedTuple):
    """What the sample stage writes."""

    latents: pa.Table
    windows: pa.Table
    dropped: dict[str, int]
    """How many latents were dropped for each reason."""


def sample(store: LatentStore, tokens: Tokens, sampling: params.Sampling, seed: int, coder: str) -> Sampled:
    """Chooses latents and their windows.

    Raises:
        GlossaError: the activations were made from other tokens than those in data/tokens.
    """
    if store.meta["tokens_sha256"] != tokens.sha256:
        raise GlossaError(
            f"the activations in {store.path} were made from other tokens than {tokens.directory}; run dvc repro"
        )
    window = sampling.window
    blocks = tokens.matrix.reshape(-1, window)
    per_row = tokens.context_length // window
    ordinary = tokens.matrix.size - tokens.meta["special_positions"]
    counts = store.statistic("count")
    statistics = {name: store.statistic(name) for name in ("max", "sum", "histogram")}
    outputs = {name: store.output(name) for name in ("top_tokens", "top_values", "bottom_tokens", "bottom_values")}
    rows: list[dict[str, Any]] = []
    parts: list[pa.Table] = []
    dropped: dict[str, int] = {}
    for latent in bar(
        f"sample {coder}", unit="latent", iterable=choose(sampling.latents, store.shape[0], seed, coder).tolist()
    ):
        count = int(counts[latent])
        facts: dict[str, Any] = {
            "latent": latent,
            "count": count,
            "density": count / max(1, ordinary),
            "max": statistics["max"][latent],
            "mean": float(statistics["sum"][latent]) / count if count else 0.0,
            "histogram": statistics["histogram"][latent],
            "n_windows": 0,
            "n_train": 0,
            "n_test": 0,
            "n_negative": 0,
            **{name: None if array is None else array[latent] for name, array in outputs.items()},
        }
        rows.append(facts)
        if count < sampling.min_activations:
            reason = "never fires" if not count else "fires on fewer tokens than sampling.min_activations"
            facts["dropped"] = reason
            dropped[reason] = dropped.get(reason, 0) + 1
            continue
        positions, values = store.latent(latent)
        found = firing(positions, values, window)
        generator = generator_of(seed, coder, latent)
        chosen = split(found, sampling.train, sampling.test.per_decile, generator)
        silent = silent_windows(sampling.test.negatives.random, len(blocks), found.windows, generator)
        facts |= {
            "n_windows": len(found.windows),
            "n_train": len(chosen.train),
            "n_test": len(chosen.test),
            "n_negative": len(silent),
        }
        rows[-1] = facts
        if not len(chosen.test):
            reason = "fires in a single window"
            facts["dropped"] = reason
            dropped[reason] = dropped.get(reason, 0) + 1
            continue
        for role, indices in (("train", chosen.train), ("test", chosen.test)):
            parts.append(
                _table(
                    latent,
                    role,
                    None,
                    found.deciles[indices],
                    found.windows[indices],
                    blocks,
                    per_row,
                    positions,
                    values,
                )
            )
        kind = "random"
        parts.append(
            _table(latent, "negative", kind, np.zeros(len(silent), np.int8), silent, blocks, per_row, positions, values)
        )
    table = pa.Table.from_pylist([{"dropped": None, **row} for row in rows], schema=latents_schema())
    windows = pa.concat_tables(parts) if parts else windows_schema().empty_table()
    return Sampled(table, windows, dropped)


def _table(
    latent: int,
    role: str,
    kind: str | None,
    deciles: NDArray[np.int8],
    windows: NDArray[np.int64],
    blocks: NDArray[np.int32],
    per_row: int,
    positions: NDArray,
    values: NDArray[np.float32],
) -> pa.Table:
    n, length = len(windows), blocks.shape[1]
    activations = gather(windows, positions, values, length)
    offsets = np.arange(0, (n + 1) * length, length, dtype=np.int32)
    return pa.table(
        {
            "latent": np.full(n, latent, np.int32),
            "role": pa.array([role] * n, pa.string()),
            "kind": pa.array([kind] * n, pa.string()),
            "decile": deciles,
            "window": windows,
            "row": (windows // per_row).astype(np.int32),
            "start": (windows % per_row * length).astype(np.int32),
            "max": activations.max(axis=1, initial=0.0),
            "tokens": pa.ListArray.from_arrays(offsets, blocks[windows].ravel()),
            "activations": pa.ListArray.from_arrays(offsets, activations.ravel()),
        },
        schema=windows_schema(),
    )
