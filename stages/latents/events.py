"""The events of one coder on their way to runs: buffered in bounded memory, sorted and written in another thread."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from stages.latents import runs, spec
from stages.latents.merge import combine
from stages.latents.runs import Run
from stages.machine.scratch import Scratch

COMBINING = Lock()
"""Of the collectors of this process one at a time puts parts together, which takes some 60 MB."""

BYTES_PER_EVENT = 2 * 12 + 8
"""Two buffers of positions, latents and values, one of which is being sorted into positions and values."""


class Collector:
    """Takes the events of consecutive rows and leaves one run for every range of rows.

    A range that has more events than the memory allows is written in parts, which then become its run; the bytes of the
    run do not depend on it. Call ``close`` when no more events come.
    """

    def __init__(self, folder: Scratch, n_latents: int, context_length: int, kept_bits: int, memory: int) -> None:
        """``memory`` is the bytes that events may take, about."""
        self.folder, self.n_latents, self.length, self.kept_bits = folder, n_latents, context_length, kept_bits
        capacity = max(1, memory // BYTES_PER_EVENT)
        # Memory that is never touched is never taken, so that short ranges cost what they hold.
        self.buffers = [_Buffer(capacity), _Buffer(capacity)]
        self.thread = ThreadPoolExecutor(1, "runs")
        self.parts: list[Run] = []
        self.parts_folder: Path | None = None
        self.combining: Future[None] | None = None

    def begin(self, first_row: int) -> None:
        """A new range begins, at ``first_row``; what an unfinished one has left is forgotten."""
        if self.parts:
            self._wait()
            self._drop_parts()
        self.buffers[0].n = 0
        self.first_row = self.part_row = first_row

    def add(
        self, row: int, positions: NDArray[np.int32], latents: NDArray[np.int32], values: NDArray[np.float32]
    ) -> None:
        """Adds the events of the rows from ``row`` on; ``positions`` count from there and don't decrease."""
        buffer = self.buffers[0]
        if buffer.n and buffer.n + len(values) > buffer.capacity:
            self._write_part(row)
            buffer = self.buffers[0]
        buffer.add((row - self.part_row) * self.length, positions, latents, values)

    def end(self, end_row: int) -> None:
        """The range ends before ``end_row``; its run is written while other work goes on."""
        if not self.parts:
            self._submit(self.folder, self.first_row, end_row)
            return
        self._write_part(end_row)
        assert self.parts_folder is not None  # the part is in it
        if self.combining is not None:
            self.combining.result()
        self.combining = self.thread.submit(self._combine, self.parts, self.parts_folder)
        self.parts, self.parts_folder = [], None

    def close(self) -> None:
        """Waits until all is written, and raises what went wrong."""
        try:
            self._wait()
            if self.combining is not None:
                self.combining.result()
        finally:
            self.thread.shutdown()
            self._drop_parts()

    def _write_part(self, end_row: int) -> None:
        if self.parts_folder is None:
            local = self.folder.folder
            if local is not None:
                local.mkdir(parents=True, exist_ok=True)
            self.parts_folder = Path(mkdtemp(prefix=f"parts-{self.first_row}-", dir=local))
        folder = Scratch(str(self.parts_folder))
        n_events = self.buffers[0].n
        self._submit(folder, self.part_row, end_row)
        self.parts.append(Run(folder, self.part_row, end_row, self.n_latents, n_events))
        self.part_row = end_row

    def _submit(self, folder: Scratch, first: int, end: int) -> None:
        buffer = self.buffers[0]
        buffer.writing = self.thread.submit(self._write, buffer, folder, first, end)
        self.buffers.reverse()
        self.buffers[0].wait()
        self.buffers[0].n = 0

    def _write(self, buffer: _Buffer, folder: Scratch, first: int, end: int) -> None:
        positions, latents, values = buffer.columns()
        values = spec.round_mantissa(values, self.kept_bits)
        runs.write(folder, first, end, (end - first) * self.length, self.n_latents, positions, latents, values)

    def _combine(self, parts: list[Run], folder: Path) -> None:
        """The thread has written the parts before it comes to this."""
        try:
            with COMBINING:
                combine(parts, self.folder, self.length)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _wait(self) -> None:
        for buffer in self.buffers:
            buffer.wait()

    def _drop_parts(self) -> None:
        if self.parts_folder is not None:
            shutil.rmtree(self.parts_folder, ignore_errors=True)
        self.parts, self.parts_folder = [], None


class _Buffer:
    """Room for events, in the order in which they come."""

    def __init__(self, capacity: int) -> None:
        self.n = 0
        self.writing: Future[None] | None = None
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        self.capacity = capacity
        self.positions, self.latents = np.empty(capacity, np.int32), np.empty(capacity, np.int32)
        self.values = np.empty(capacity, np.float32)

    def add(self, offset: int, *columns: NDArray) -> None:
        n = len(columns[0])
        if n > self.capacity:  # a single batch that is larger than the memory for events
            self._allocate(n)
        part = slice(self.n, self.n + n)
        np.add(columns[0], offset, out=self.positions[part], casting="unsafe")
        self.latents[part], self.values[part] = columns[1:]
        self.n += n

    def columns(self) -> Sequence[NDArray]:
        return self.positions[: self.n], self.latents[: self.n], self.values[: self.n]

    def wait(self) -> None:
        if self.writing is not None:
            writing, self.writing = self.writing, None
            writing.result()
