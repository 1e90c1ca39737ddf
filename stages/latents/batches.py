"""How many rows go through the subject at once, and the rows themselves, fetched ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import click
import numpy as np
import torch
from torch import Tensor

from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, said

CPU_TOKENS = 2048
"""Tokens at once without a GPU: of more, what an MLP computes no longer fits the caches of a processor."""
MOST_TOKENS = 65_536
PROBED_TOKENS = 1024
SHARE = 0.8
"""The share of a GPU's memory that is planned with."""


@dataclass(frozen=True)
class Batch:
    """Rows of tokens on the subject's device."""

    first_row: int
    end_row: int
    ids: Tensor
    """[rows, length] int64."""
    keep: Tensor | None
    """Flat positions of ordinary tokens; None if all are."""


class BatchSize:
    """Rows at once; halved for good when memory runs out."""

    def __init__(self, tokens: int | None, context_length: int) -> None:
        """Without ``tokens`` it is a constant on a CPU, and measured on a GPU."""
        self.context_length = context_length
        self.measured = tokens is not None
        self.rows = max(1, (tokens or CPU_TOKENS) // context_length)

    def measure(self, device: torch.device, work: Callable[[int], object], reserved: int) -> None:
        """Sizes the batch to the memory of a GPU, from what ``work`` takes on a few rows.

        The whole memory counts and not what is free just now, so that the size, on which rounding depends, is the same
        in every run on the same GPU. ``reserved`` bytes are needed whatever the size.
        """
        if self.measured or device.type != "cuda":
            return
        rows = max(1, PROBED_TOKENS // self.context_length)
        torch.cuda.synchronize(device)
        weights = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work(rows)
        torch.cuda.synchronize(device)
        taken = max(1, torch.cuda.max_memory_allocated(device) - weights)
        total = torch.cuda.mem_get_info(device)[1]
        fitting = int(max(0, SHARE * total - weights - reserved) * rows / taken)
        fitting = max(1, min(fitting, MOST_TOKENS // self.context_length))
        self.rows = 1 << (fitting.bit_length() - 1)
        self.measured = True

    def halve(self, error: Exception) -> None:
        """Halves the rows; raises GlossaError when a single row is too much."""
        if self.rows == 1:
            why = said(error)
            raise GlossaError(
                f"expected memory for one row of {self.context_length} tokens through the subject and its coders, but: {why}; "
                "use a lower subject.dtype, a shorter corpus.context_length or a device with more memory"
            ) from None
        before = self.rows * self.context_length
        self.rows //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        click.echo(
            f"out of memory with {before:,} tokens at once; going on with {self.rows * self.context_length:,} "
            "(batch_tokens in runtime.yaml sets it)",
            err=True,
        )


def batches(tokens: Tokens, first: int, end: int, size: BatchSize, device: torch.device) -> Iterator[Batch]:
    """Yields the rows ``first`` to ``end``; the next batch is fetched while one is worked on, and the last is kept short."""
    special = torch.from_numpy(tokens.vocabulary.special)

    def fetch(start: int, stop: int) -> Batch:
        ids = torch.from_numpy(np.asarray(tokens.array[start:stop], dtype=np.int64))
        ordinary = ~special[ids].reshape(-1)
        keep = None if bool(ordinary.all()) else torch.nonzero(ordinary).squeeze(1)
        return Batch(start, stop, _sent(ids, device), None if keep is None else _sent(keep, device))

    with ThreadPoolExecutor(1, "tokens") as thread:
        ahead = thread.submit(fetch, first, min(first + size.rows, end))
        while True:
            batch = ahead.result()
            if batch.end_row < end:
                ahead = thread.submit(fetch, batch.end_row, min(batch.end_row + size.rows, end))
            yield batch
            if batch.end_row == end:
                return


def _sent(values: Tensor, device: torch.device) -> Tensor:
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)
