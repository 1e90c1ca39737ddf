"""The pieces of work that a report consists of, done here or by several processes; the bytes are the same."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from stages import paths
from stages.errors import GlossaError
from stages.machine import runtime
from stages.results.reading import Results
from stages.site.coder import Coder
from stages.site.cost import Cost, cost

MANY = 4096
"""Latents that are worth starting further processes for."""


class Shards(NamedTuple):
    """Shards of a coder to be written."""

    coder: str
    numbers: range


class Asked(NamedTuple):
    """A stage whose calls of language models are to be counted."""

    coder: str
    explainer: str
    scorer: str | None

    @property
    def folder(self) -> Path:
        """Where its transcript lies, if it has one."""
        if self.scorer is None:
            return paths.explanations(self.coder, self.explainer)
        return paths.scores(self.coder, self.explainer, self.scorer)


Work = Shards | Asked


class Worker:
    """Takes one piece of work at a time."""

    def __init__(self, folder: Path, results: Results, strongest: int) -> None:
        self._folder = folder
        self._coder = lru_cache(maxsize=1)(lambda name: Coder(results, name, strongest))

    def do(self, work: Work) -> Cost:
        """Writes shards into the folder, or returns what a stage has asked."""
        if isinstance(work, Asked):
            return cost(work.folder)
        self._coder(work.coder).write(self._folder, work.numbers)
        return Cost()


def done(work: Sequence[Work], folder: Path, results: Results, strongest: int, n: int) -> Iterator[Cost]:
    """Yields what came of each piece of ``work``, in its order, done by ``n`` processes.

    Raises:
        GlossaError: an output of an earlier stage can't be read, or a process was killed.
    """
    if n == 1:
        yield from map(Worker(folder, results, strongest).do, work)
        return
    pool = ProcessPoolExecutor(n, get_context("spawn"), _begin, (folder, results, strongest))
    try:
        yield from pool.map(_do, work)
    except BrokenProcessPool:
        raise GlossaError(
            f"expected the {n} processes that write the report to finish, but one of them was killed, perhaps for want of memory; "
            "set workers: 1 in runtime.yaml"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def processes(latents: int) -> int:
    """Returns how many processes write a report of so many latents."""
    return 1 if latents < MANY else runtime.processes()


_worker: list[Worker] = []


def _begin(folder: Path, results: Results, strongest: int) -> None:
    _worker[:] = [Worker(folder, results, strongest)]
    gc.disable()  # nothing here refers to itself, and looking for what does takes a fifth of the time


def _do(work: Work) -> Cost:
    return _worker[0].do(work)
