"""Who makes the runs and merges them: this process, one process for every GPU, or actors of a Ray cluster.

Row ranges need nothing of one another and neither do shards, so every worker takes the next one from a common heap, and
what is written does not depend on who wrote it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

from stages.errors import GlossaError, said
from stages.latents.capture import Capture
from stages.latents.job import Job
from stages.latents.merge import Shards
from stages.latents.statistics import Sums

T = TypeVar("T")
R = TypeVar("R")


class Range(NamedTuple):
    """Rows whose runs are to be made, and the coders that lack them."""

    first: int
    end: int
    names: tuple[str, ...]


class Worker(Protocol):
    """Takes one piece of work at a time."""

    def capture(self, rows: Range) -> None:
        """Leaves the runs of these rows."""

    def flush(self) -> None:
        """Returns when all runs are written."""

    def shard(self, shards: Shards, begin: int) -> Sums:
        """Writes a shard."""


class Here:
    """This process."""

    def __init__(self, capture: Capture, progress: Callable[[int], object] = id) -> None:
        self._capture, self._progress = capture, progress

    def capture(self, rows: Range) -> None:  # noqa: D102 - see Worker
        self._capture.run(*rows, self._progress)

    def flush(self) -> None:  # noqa: D102
        self._capture.close()

    def shard(self, shards: Shards, begin: int) -> Sums:  # noqa: D102
        return shards(begin)


class Process:
    """Another process of this machine, with a device of its own."""

    def __init__(self, job: Job, device: str, threads: int | None, progress: Callable[[int], object]) -> None:
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _enter, (job, device, threads))
        self._progress, self._device = progress, device
        self._length = job.context_length

    def capture(self, rows: Range) -> None:  # noqa: D102
        self._ask(_capture, rows)
        self._progress((rows.end - rows.first) * self._length)

    def flush(self) -> None:  # noqa: D102
        self._ask(_flush)

    def shard(self, shards: Shards, begin: int) -> Sums:  # noqa: D102
        return self._ask(shards, begin)

    def shutdown(self) -> None:
        """Ends the process."""
        self._pool.shutdown(cancel_futures=True)

    def _ask(self, function: Callable[..., R], *args: Any) -> R:
        try:
            return self._pool.submit(function, *args).result()
        except BrokenProcessPool:
            raise GlossaError(
                f"the process that cached on {self._device} ended before its work did, perhaps for want of memory; "
                "run dvc repro again, which goes on where this stopped, with a smaller batch_tokens or fewer workers"
            ) from None


class Actor:
    """A process of a Ray cluster."""

    def __init__(self, handle: Any, progress: Callable[[int], object], context_length: int) -> None:
        self._handle, self._progress, self._length = handle, progress, context_length

    def capture(self, rows: Range) -> None:  # noqa: D102
        self._ask("capture", rows)
        self._progress((rows.end - rows.first) * self._length)

    def flush(self) -> None:  # noqa: D102
        self._ask("flush")

    def shard(self, shards: Shards, begin: int) -> Sums:  # noqa: D102
        return self._ask("shard", shards, begin)

    def _ask(self, method: str, *args: Any) -> Any:
        import ray

        try:
            return ray.get(getattr(self._handle, method).remote(*args))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, GlossaError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:
            why = said(error)
            raise GlossaError(
                f"a worker of the Ray cluster ended before its work did: {why}; run dvc repro again, which goes on where this "
                "stopped"
            ) from None


def devices_of(device: str, workers: int | None) -> list[str]:
    """The device of every process that is to run at once on this machine."""
    if device == "auto" and torch.cuda.is_available():
        n = torch.cuda.device_count()
        return [f"cuda:{i}" for i in range(min(n, workers or n))]
    return [device] * (workers or 1)


@contextmanager
def on_this_machine(
    job: Job, devices: Sequence[str], here: Capture, progress: Callable[[int], object]
) -> Iterator[list[Worker]]:
    """Yields workers: this process with its own ``here``, and one more for every further device."""
    others = devices[1:]
    threads = max(1, (os.cpu_count() or 1) // len(devices)) if others and "cuda" not in devices[0] else None
    before = torch.get_num_threads()
    with ExitStack() as stack:
        found: list[Worker] = [Here(here, progress)]
        for device in others:
            process = Process(job, device, threads, progress)
            stack.callback(process.shutdown)
            found.append(process)
        if threads:
            torch.set_num_threads(threads)
            stack.callback(torch.set_num_threads, before)
        yield found


@contextmanager
def on_ray(address: str, job: Job, workers: int | None, progress: Callable[[int], object]) -> Iterator[list[Worker]]:
    """Yields a worker for every GPU of the Ray cluster at ``address``, or for every two CPUs if it has no GPU.

    Every machine needs this repository at the same path, as on a shared file system, and the same environment.

    Raises:
        GlossaError: Ray is not installed or no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise GlossaError("runtime ray needs the package ray; run pip install -c constraints.txt -e '.[ray]'") from None
    started = not ray.is_initialized()
    if started:
        local: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
        except (ConnectionError, ValueError, RuntimeError) as error:
            why = said(error)
            raise GlossaError(
                f"runtime ray should be the address of a Ray cluster, auto or local, but {address} is not: {why}"
            ) from None
    try:
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        n = workers or gpus or max(1, int(resources.get("CPU", 1)) // 2)
        remote = ray.remote(num_gpus=1 if gpus else 0, num_cpus=1)(_Member)
        handles = [remote.remote(job, "cuda" if gpus else "cpu") for _ in range(n)]
        yield [Actor(handle, progress, job.context_length) for handle in handles]
    finally:
        if started:
            ray.shutdown()


def capture_all(workers: Sequence[Worker], ranges: Sequence[Range]) -> None:
    """Leaves the runs of all ``ranges``."""
    for _ in _spread(ranges, [worker.capture for worker in workers]):
        pass
    for worker in workers:
        worker.flush()


def merge_map(workers: Sequence[Worker]) -> Callable[[Callable[[int], Sums], Iterable[int]], Iterator[Sums]]:
    """A ``map`` for merge, over the workers."""

    def mapped(shards: Callable[[int], Sums], begins: Iterable[int]) -> Iterator[Sums]:
        assert isinstance(shards, Shards)

        def hand(worker: Worker) -> Callable[[int], Sums]:
            return lambda begin: worker.shard(shards, begin)

        return _spread(list(begins), [hand(worker) for worker in workers])

    return mapped


def _spread(tasks: Sequence[T], hands: Sequence[Callable[[T], R]]) -> Iterator[R]:
    """Yields what ``hands`` make of the tasks, in their order; each takes the next task when it is free.

    The first hand works in this thread. An error ends the work when the tasks in hand are done.
    """
    if len(hands) == 1:
        yield from map(hands[0], tasks)
        return
    heap: SimpleQueue[tuple[int, T]] = SimpleQueue()
    for pair in enumerate(tasks):
        heap.put(pair)
    results: dict[int, R] = {}
    errors: list[BaseException] = []

    def work(hand: Callable[[T], R]) -> None:
        while not errors:
            try:
                place, task = heap.get_nowait()
            except Empty:
                return
            try:
                results[place] = hand(task)
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that waits
                errors.append(error)

    threads = [Thread(target=work, args=(hand,)) for hand in hands[1:]]
    for thread in threads:
        thread.start()
    work(hands[0])
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    yield from (results[place] for place in range(len(tasks)))


_capturing: Capture | None = None
"""What the process of a ``Process`` works with."""


def _enter(job: Job, device: str, threads: int | None) -> None:
    global _capturing
    if threads:
        torch.set_num_threads(threads)
    _capturing = job.start(device)


def _capture(rows: Range) -> None:
    assert _capturing is not None
    _capturing.run(*rows)


def _flush() -> None:
    assert _capturing is not None
    _capturing.close()


class _Member(Here):
    """The inside of an Actor."""

    def __init__(self, job: Job, device: str) -> None:
        os.chdir(job.root)
        super().__init__(job.start(device))
