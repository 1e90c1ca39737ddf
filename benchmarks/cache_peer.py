"""EleutherAI/delphi over one configuration of the benchmark; run by cache.py in the environment where delphi is installed.

Prints one line of JSON. The floor works on every batch too, while delphi waits, so that a busy machine tells on both.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cache_floor
import numpy as np
import torch
from cache_floor import BATCH_TOKENS, CONTEXT, SHAPES, Weights, Work


def main() -> None:
    from delphi.latents.cache import LatentCache

    shape, latents, layers, n_tokens = json.loads(sys.argv[1])
    work = Work(shape, latents, tuple(layers))
    base, coders = cache_floor.model_of(shape), cache_floor.weights_of(work)
    tokens = cache_floor.zipf_tokens(n_tokens, SHAPES[shape].vocabulary)
    rows = BATCH_TOKENS // CONTEXT
    tokens = tokens[: len(tokens) // rows * rows]  # delphi leaves out the rest
    cache_floor.floor(base, work.layers, coders, tokens[:rows])

    def now() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])

    floor, at = np.zeros(2), 0

    def follow(x: torch.Tensor) -> torch.Tensor:
        nonlocal floor, at
        start = now()
        cache_floor.floor(base, work.layers, coders, tokens[at : at + rows])
        floor += now() - start
        at += rows
        return first(x)

    names = [f"layers.{layer}" for layer in work.layers]
    encoders: dict[str, Any] = {name: _dense(coder) for name, coder in zip(names, coders, strict=True)}
    first = encoders[names[0]]
    encoders[names[0]] = follow
    with tempfile.TemporaryDirectory() as folder:
        start = now()
        peer = LatentCache(base, encoders, rows)
        peer.run(tokens.size, torch.from_numpy(tokens).long())
        peer.save_splits(5, Path(folder))
        taken = now() - start - floor
        n_bytes, n_files = cache_floor.bytes_below(Path(folder)), len(cache_floor.files_below(Path(folder)))
    events = sum(len(values) for values in peer.cache.latent_activations.values())
    found = {
        "rate": tokens.size / taken[0],
        "ratio": floor[0] / taken[0],
        "cpu_ratio": floor[1] / taken[1],
        "bytes": n_bytes / events,
        "files": n_files / len(layers),
        "events": events,
        "peak_mb": cache_floor.peak_mb(),
    }
    print(json.dumps(found))


def _dense(weights: Weights) -> Any:
    """What delphi wants of a coder: [batch, length, latents]."""

    def encode(x: torch.Tensor) -> torch.Tensor:
        values, latents = cache_floor.encode(x.flatten(0, 1), weights)
        dense = torch.zeros(len(values), len(weights.bias)).scatter_(1, latents, values)
        return dense.view(*x.shape[:-1], -1)

    return encode


if __name__ == "__main__":
    main()
