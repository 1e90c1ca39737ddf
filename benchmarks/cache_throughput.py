"""Capturing and merging against the floor, and the memory that it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import torch
from cache_floor import (
    BATCH_TOKENS,
    CONTEXT,
    SEPARATOR,
    SHAPES,
    K,
    Work,
    bytes_below,
    encode,
    files_below,
    floor,
    hidden,
    model_of,
    peak_mb,
    weights_of,
    zipf_tokens,
)

from stages.coders.activations import TopK
from stages.coders.sparse_coder import SparseCoder
from stages.corpus import tokens as writing
from stages.corpus.tokens import Tokens, Vocabulary
from stages.latents import spec
from stages.latents.capture import Capture, Target, finished, ranges, target
from stages.latents.merge import merge
from stages.latents.runs import Run, write_sorted
from stages.machine.scratch import Scratch
from stages.outputs import fingerprint
from stages.subject.load import Subject

MEMORY = 512 * 2**20
ATTRIBUTES = {"schema": spec.SCHEMA, "version": spec.VERSION}


@dataclass(frozen=True)
class Seconds:
    """What some work took."""

    wall: float
    cpu: float
    """Of all threads."""

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Seconds) -> Seconds:
        return Seconds(self.wall - other.wall, self.cpu - other.cpu)


@dataclass
class Throughput:
    """What one configuration took; ``floor`` and ``ours`` hold one entry for every range of rows."""

    tokens: int
    floor: list[Seconds]
    ours: list[Seconds]
    merging: Seconds
    events: int
    bytes_exact: float
    """Per nonzero, tokens included."""
    bytes_bf16: float
    files: float
    """Per coder."""

    @property
    def ratio(self) -> float:
        """Throughput of ours / floor in wall time: the median over the ranges, the merge spread over them."""
        merge_share = self.merging.wall / len(self.ours)
        return median(a.wall / (b.wall + merge_share) for a, b in zip(self.floor, self.ours, strict=True))

    def total_ratio(self, kind: str) -> float:
        """The same of the sums, in ``wall`` or ``cpu`` time."""
        ours = sum(getattr(part, kind) for part in (*self.ours, self.merging))
        return sum(getattr(part, kind) for part in self.floor) / ours

    def floor_rate(self) -> float:
        """Tokens per second."""
        return self.tokens / sum(part.wall for part in self.floor)

    def rate(self) -> float:
        """Tokens per second, the merge included."""
        return self.tokens / sum(part.wall for part in (*self.ours, self.merging))


def measure(work: Work, n_tokens: int, folder: Path) -> Throughput:
    """Captures range by range and merges; the floor works on every batch as soon as ours is done with it.

    Ours waits for its writer at the end of every range, which the stage does only at the very end.
    """
    tokens = write_tokens(folder / "tokens", n_tokens, SHAPES[work.shape].vocabulary)
    subject, targets = prepare(work, tokens, folder)
    coders, rows = weights_of(work), tokens.rows

    def both(first: int, end: int) -> tuple[Seconds, Seconds]:
        bare, at = Seconds(0, 0), first

        def follow(n: int) -> None:
            nonlocal bare, at
            batch = tokens.matrix[at : at + n // CONTEXT]
            bare += timed(partial(floor, subject.base, work.layers, coders, batch))
            at += n // CONTEXT

        def ours() -> None:
            capture = Capture(subject, targets, tokens, BATCH_TOKENS, MEMORY)
            capture.run(first, end, [t.name for t in targets], follow)
            capture.close()

        both_together = timed(ours)
        return bare, both_together - bare

    both(0, min(rows, BATCH_TOKENS // CONTEXT))  # warms up
    taken = [both(first, end) for first, end in ranges(rows, CONTEXT)]
    merging = timed(lambda: merge_all(targets, rows, folder))
    check(subject, work, tokens, folder / "0.zarr")

    runs = [made(t, rows) for t in targets]
    n_events = sum(run.n_events for parts in runs for run in parts)
    merge(rounded(runs[0], folder / "rounded"), folder / "rounded.zarr", rows, CONTEXT, ATTRIBUTES, {})
    first_events = sum(run.n_events for run in runs[0])
    own = bytes_below(tokens.directory / "tokens.zarr")
    stores = [folder / f"{t.name}.zarr" for t in targets]
    return Throughput(
        rows * CONTEXT,
        [bare for bare, _ in taken],
        [own for _, own in taken],
        merging,
        n_events,
        (sum(map(bytes_below, stores)) + own) / n_events,
        (bytes_below(folder / "rounded.zarr") + own) / first_events,
        sum(len(files_below(store)) for store in stores) / len(stores),
    )


def grow(work: Work, folder: Path) -> tuple[float, int]:
    """Captures and merges the tokens in ``folder``; returns the peak memory of this process in MB, and the events."""
    tokens = Tokens.open(folder / "tokens")
    subject, targets = prepare(work, tokens, folder)
    capture = Capture(subject, targets, tokens, BATCH_TOKENS, MEMORY)
    for first, end in ranges(tokens.rows, CONTEXT):
        capture.run(first, end, [t.name for t in targets])
    capture.close()
    merge_all(targets, tokens.rows, folder)
    return peak_mb(), sum(run.n_events for t in targets for run in made(t, tokens.rows))


def timed(work: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def prepare(work: Work, tokens: Tokens, folder: Path) -> tuple[Subject, list[Target]]:
    """Returns the model and the coders of a configuration as the stage has them."""
    base = model_of(work.shape)
    subject = Subject(Model(base), work.shape, {"sha256": fingerprint(work.shape)}, torch.device("cpu"))
    targets = []
    for layer, weights in enumerate(weights_of(work)):
        hookpoint = f"layers.{work.layers[layer]}"
        coder = sparse_coder(weights.encoder, weights.bias, TopK(K), fingerprint([*work, layer]))
        targets.append(target(str(layer), coder, hookpoint, 23, subject, tokens, Scratch(str(folder / "scratch"))))
    return subject, targets


class Model:
    """As much of a causal language model as caching looks at."""

    def __init__(self, base: torch.nn.Module) -> None:
        self.base_model = base


def sparse_coder(encoder: torch.Tensor, bias: torch.Tensor, activation: TopK, identity: str) -> SparseCoder:
    zeros = torch.zeros(encoder.shape[1], dtype=encoder.dtype, device=encoder.device)
    return SparseCoder(encoder, bias, None, zeros, zeros, activation, "benchmark", {"sha256": identity})


def write_tokens(folder: Path, n_tokens: int, vocabulary: int) -> Tokens:
    special = np.zeros(vocabulary, bool)
    special[SEPARATOR] = True
    words = Vocabulary([b"x"] * vocabulary, np.zeros(vocabulary, np.int64), special)
    documents = pa.table({"name": pa.array([], pa.string())})
    tokens = zipf_tokens(n_tokens, vocabulary)
    writing.write(folder, tokens, documents, words, {"special_positions": int((tokens == SEPARATOR).sum())})
    return Tokens.open(folder)


def made(target: Target, rows: int) -> list[Run]:
    return [run for run in finished(target, rows, CONTEXT, trusted=True) if run is not None]


def merge_all(targets: list[Target], rows: int, folder: Path) -> None:
    for t in targets:
        merge(made(t, rows), folder / f"{t.name}.zarr", rows, CONTEXT, ATTRIBUTES, {})


def rounded(runs: list[Run], folder: Path) -> list[Run]:
    """The same runs with values as ``cache.precision: bf16`` leaves them."""
    found = []
    for run in runs:
        positions, values = np.empty(run.n_events, np.int32), np.empty(run.n_events, np.float32)
        run.read(0, positions, values)
        bits = spec.kept_bits("bf16")
        extremes = spec.round_mantissa(run.extremes(), bits)
        events = [(positions, spec.round_mantissa(values, bits))]
        offsets = run.offsets(0, run.n_latents)
        found.append(write_sorted(Scratch(str(folder)), run.first_row, run.end_row, offsets, extremes, events))
    return found


def check(subject: Subject, work: Work, tokens: Tokens, store: Path) -> None:
    """Raises AssertionError unless the store holds what the floor computes of the first batch."""
    from stages.latents.store import LatentStore

    rows = min(tokens.rows, BATCH_TOKENS // CONTEXT)
    ids = torch.from_numpy(tokens.matrix[:rows].astype(np.int64))
    with torch.inference_mode():
        values, latents = encode(hidden(subject.base, work.layers, ids)[0].flatten(0, 1), weights_of(work)[0])
    ordinary = (ids.flatten() != SEPARATOR)[:, None] & (values > 0)
    csr = LatentStore.open(store).csr()
    found = csr[:, : rows * CONTEXT].tocsc()
    assert found.nnz == int(ordinary.sum())
    counts = np.bincount(latents[ordinary].numpy(), minlength=work.latents)
    assert np.abs(np.diff(csr[:, : rows * CONTEXT].indptr) - counts).sum() <= found.nnz * 1e-3
