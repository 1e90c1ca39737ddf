"""An audit's long work, spread over processes: the same calls, in the same order, as in this one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

from stages import paths
from stages.errors import GlossaError
from stages.examples import table
from stages.machine import runtime
from stages.provenance.project import Project

PAYS = 2000
"""Latents to go through, over all stages, that are worth starting processes for."""


class Spread(NamedTuple):
    """Where work is done."""

    processes: int
    """How many do it at once; 1 if it is this one."""
    map: Callable[[Callable[[Project, Any], Any], Iterable[Any]], Iterator[Any]]
    """Yields what a function finds in the project for each of some items, in their order."""


def here(project: Project) -> Spread:
    """In this process, each item when its result is asked for."""
    return Spread(1, lambda function, items: (function(project, item) for item in items))


@contextmanager
def over_processes(project: Project) -> Iterator[Spread]:
    """In as many processes as pay, from the moment on in which the work is handed over.

    Raises:
        GlossaError: a process is killed, such as for want of memory.
    """
    n = runtime.processes()
    if n == 1 or _latents(project) < PAYS:
        yield here(project)
        return
    pool = ProcessPoolExecutor(n, get_context("spawn"), _enter, (project.sample, project.full))
    try:
        yield Spread(n, lambda function, items: pool.map(partial(_call, function), items))
    except BrokenProcessPool:
        raise GlossaError(
            f"expected the {n} processes of the audit to finish, but one of them was killed, perhaps for want of memory; "
            "set workers: 1 in runtime.yaml"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _latents(project: Project) -> int:
    """How many latents there are to go through, over all explain and score stages."""
    found = 0
    for coder in project.p.coders:
        try:
            kept = table.Examples.open(paths.examples(coder)).meta["kept"]
        except (GlossaError, KeyError):
            continue  # a check says what is wrong with them
        found += kept * sum(result.coder == coder for result in (*project.explained, *project.scored))
    return found


_project: Project | None = None
"""What a process looks at."""


def _enter(sample: int, full: bool) -> None:
    global _project
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever stops the audit is told once
    os.environ["TQDM_DISABLE"] = "1"  # several bars at once would overwrite each other
    _project = Project.here(sample, full)


def _call(function: Callable[[Project, Any], Any], item: Any) -> Any:
    assert _project is not None
    return function(_project, item)
