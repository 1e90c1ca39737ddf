"""How many tokens go through a model at once: halved for good when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import click
import torch
from tqdm import tqdm

from stages.errors import GlossaError
from stages.machine.progress import bar

GPU_TOKENS, CPU_TOKENS = 65_536, 2048
"""Tokens at once, those to be written included, unless runtime.yaml says or memory runs out; on a CPU, of more the activations leave its caches."""


class Headroom:
    """The tokens that fit."""

    def __init__(self, device: torch.device, tokens: int | None, whose: str, remedy: str):
        """``whose`` and ``remedy`` are said when a single text is too much: "the model x", "use …"."""
        self.tokens = tokens or (GPU_TOKENS if device.type == "cuda" else CPU_TOKENS)
        self._whose, self._remedy = whose, remedy

    def in_batches(
        self,
        items: Sequence[int],
        length: Callable[[int], int],
        work: Callable[[list[int]], object],
        named: str | None = None,
    ) -> None:
        """Calls ``work`` on all items, the longest first, as many at once as the memory holds; a bar shows how far it is, if ``named``.

        Raises:
            GlossaError: a single one is too much.
        """
        ordered = sorted(items, key=lambda item: (-length(item), item))
        tokens = sum(map(length, ordered))
        # What goes through at once has no steps that could be shown.
        with bar(named, tokens, "token") if named and tokens > self.tokens else nullcontext() as progress:
            self._in_batches(ordered, length, work, progress)

    def _in_batches(
        self,
        ordered: list[int],
        length: Callable[[int], int],
        work: Callable[[list[int]], object],
        progress: tqdm | None,
    ) -> None:
        start = 0
        while start < len(ordered):
            n = max(1, self.tokens // max(1, length(ordered[start])))
            try:
                work(ordered[start : start + n])
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                n = min(n, len(ordered) - start)
            else:
                if progress is not None:
                    progress.update(sum(map(length, ordered[start : start + n])))
                start += n
                continue
            self._halve(n, length(ordered[start]))  # here, where nothing holds on to the tensors of before

    def _halve(self, n: int, length: int) -> None:
        if n == 1:
            raise GlossaError(
                f"expected memory for {length:,} tokens through {self._whose}, but there is not enough; {self._remedy}"
            )
        self.tokens = n * length // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        click.echo(
            f"out of memory with {n * length:,} tokens at once; going on with {self.tokens:,} (batch_tokens in runtime.yaml sets it)",
            err=True,
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch says that memory has run out, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
