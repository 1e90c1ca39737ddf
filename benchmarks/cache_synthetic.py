"""Made-up events through the collector and the merge: what storing alone costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cache_floor import BATCH_TOKENS, CONTEXT, bytes_below, files_below, peak_mb, zipf_tokens
from numpy.typing import NDArray

from stages.latents import runs, spec
from stages.latents.events import Collector
from stages.latents.merge import merge
from stages.machine.scratch import Scratch

CARRIED = 0.3
"""The share of a token's latents that fired on the token before as well."""


class Stored(NamedTuple):
    """What storing the events of ``tokens`` took."""

    tokens: int
    events: int
    cpu_collect: float
    cpu_merge: float
    """Seconds of processor time, making up the events left out."""
    wall: float
    peak_mb: float
    bytes_per_event: float
    """Positions, values, index and statistics, and the tokens themselves."""
    files: int

    @property
    def rate(self) -> float:
        """Events per second of one core."""
        return self.events / (self.cpu_collect + self.cpu_merge)


def store(tokens: int, n_latents: int, per_token: int, memory: int, bits: int, folder: Path) -> Stored:
    """Writes and merges; call it in a fresh process, whose peak memory it returns."""
    rows = tokens // CONTEXT
    scratch = Scratch(str(folder / "scratch"))
    collector = Collector(scratch, n_latents, CONTEXT, bits, memory)
    made = 0.0
    start, begun = time.process_time(), time.perf_counter()
    for first, end in ranges_of(rows):
        collector.begin(first)
        batches = batches_of(first, end, n_latents, per_token)
        while True:
            mark = time.thread_time()
            batch = next(batches, None)
            made += time.thread_time() - mark
            if batch is None:
                break
            collector.add(*batch)
        collector.end(end)
    collector.close()
    collected = time.process_time()
    found = [runs.find(scratch, first, end, n_latents, trusted=True) for first, end in ranges_of(rows)]
    attributes = {"schema": spec.SCHEMA, "version": spec.VERSION}
    n_events = merge([run for run in found if run], folder / "store.zarr", rows, CONTEXT, attributes, {})
    merged = time.process_time()
    wall = time.perf_counter() - begun
    peak = peak_mb()
    stored = bytes_below(folder / "store.zarr") + rows * CONTEXT * token_bytes()
    files = len(files_below(folder / "store.zarr"))
    return Stored(
        rows * CONTEXT,
        n_events,
        collected - start - made,
        merged - collected,
        wall,
        peak,
        stored / n_events,
        files,
    )


def ranges_of(rows: int) -> list[tuple[int, int]]:
    from stages.latents.capture import ranges

    return ranges(rows, CONTEXT)


def batches_of(
    first: int, end: int, n_latents: int, per_token: int
) -> Iterator[tuple[int, NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]]:
    """Yields row, positions, latents and values.

    How often latents fire falls as Zipf's law has it. Each of the ``per_token`` places of a token draws from latents of its
    own, so that no latent comes twice; and a latent that fired is likely to fire on the next token too.
    """
    generator = np.random.default_rng(first)
    share = 1 / (np.arange(n_latents) + 2.7)
    places = [np.cumsum(share[place::per_token] / share[place::per_token].sum()) for place in range(per_token)]
    rows = BATCH_TOKENS // CONTEXT
    for row in range(first, end, rows):
        n = (min(row + rows, end) - row) * CONTEXT
        fresh = generator.random((per_token, n)) >= CARRIED
        fresh[:, 0] = True
        source = np.maximum.accumulate(np.where(fresh, np.arange(n), 0), axis=1)
        latents = np.empty((n, per_token), np.int32)
        for place, edges in enumerate(places):
            drawn = np.searchsorted(edges, generator.random(n)).clip(0, len(edges) - 1) * per_token + place
            latents[:, place] = drawn[source[place]]
        values = np.exp(generator.standard_normal(n * per_token, np.float32) / 2)
        yield row, np.repeat(np.arange(n, dtype=np.int32), per_token), latents.ravel(), values


def token_bytes() -> float:
    """Bytes of a token in data/tokens, from a sample of a million."""
    from tempfile import TemporaryDirectory

    from cache_throughput import write_tokens

    sample = zipf_tokens(2**20, 50_304)
    with TemporaryDirectory() as folder:
        tokens = write_tokens(Path(folder) / "tokens", sample.size, 50_304)
        return bytes_below(tokens.directory / "tokens.zarr") / sample.size
