"""Whether windows are what they are said to be: apart from each other, silent where they should be, as in the store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages import paths
from stages.examples.table import Examples, windows_schema
from stages.latents.store import LatentStore
from stages.provenance.check import Check
from stages.provenance.files import GONE
from stages.provenance.project import Project

NO_STORE = "the activations are not here; glossa cache makes them, dvc pull may bring them"


def checks(project: Project) -> Iterator[Check]:
    """Yields the checks of disjointness, of silence and of agreement with the stores."""
    disjoint = Check(
        "disjoint", "the windows of every latent: none shares a token with another, train and test least of all"
    )
    silent = Check("silent", "every window without the latent, and the store: no activation of it in there")
    windows = Check("windows", "the activations of every window, and the store")
    for coder in project.p.coders:
        folder = paths.examples(coder)
        if not folder.is_dir():
            for check in (disjoint, silent, windows):
                check.skip(str(folder), GONE)
            continue
        with disjoint.reading(str(folder)):
            _read(project, coder, disjoint, silent, windows)
    yield from (disjoint, silent, windows)


def _read(project: Project, coder: str, disjoint: Check, silent: Check, windows: Check) -> None:
    folder = paths.examples(coder)
    examples = Examples.open(folder)
    length, context = examples.meta["window"], project.tokens.context_length
    store = None
    if paths.latents(coder).is_dir():
        with windows.reading(str(paths.latents(coder))):
            store = LatentStore.open(paths.latents(coder))
    with pq.ParquetFile(folder / "windows.parquet") as file:
        if not file.schema_arrow.equals(windows_schema()):
            disjoint.fail(str(folder / "windows.parquet"), "has other columns than this Glossa writes; run dvc repro")
            return
        for group in range(file.metadata.num_row_groups):
            part = Part(
                file.read_row_group(group).combine_chunks(), length, examples.meta.get("skip_first", 0), context
            )
            _apart(f"{folder}", part, context, disjoint)
            if store is None:
                silent.skip(str(folder), NO_STORE)
                windows.skip(str(folder), NO_STORE)
                continue
            with windows.reading(str(paths.latents(coder))):
                _agrees(f"{folder}", part, store, silent, windows)


class Part:
    """The windows of some whole latents as arrays."""

    def __init__(self, table: pa.Table, length: int, skipped: int, context: int) -> None:
        """``length`` tokens each, of rows of ``context`` tokens of which the first ``skipped`` don't count."""
        self.length = length
        self.latents: NDArray[np.int32] = table["latent"].to_numpy()
        self.starts: NDArray[np.int64] = table["start"].to_numpy()
        self.roles: list[str] = table["role"].to_pylist()
        self.negative: NDArray[np.bool_] = table["kind"].is_valid().to_numpy()
        found = table["activations"].combine_chunks()
        self.values = np.zeros((len(table), length), np.float32)
        self.is_text = is_text(self.starts, length, skipped, context)
        self.values[found.is_valid().to_numpy(zero_copy_only=False)] = found.flatten().to_numpy().reshape(-1, length)

    def item(self, folder: str, place: int) -> str:
        """How a window is named."""
        return f"{folder}, latent {self.latents[place]}, window {self.starts[place]} ({self.roles[place]})"


def _apart(folder: str, part: Part, context: int, check: Check) -> None:
    order = np.lexsort((part.starts, part.latents))
    latents, starts = part.latents[order], part.starts[order]
    meets = (np.diff(starts) < part.length) & (np.diff(latents) == 0)
    across = part.starts // context != (part.starts + part.length - 1) // context
    check.passed(len(starts) - int(meets.sum()) - int(across.sum()))
    for place in np.flatnonzero(meets):
        other = part.item(folder, int(order[place + 1]))
        check.fail(part.item(folder, int(order[place])), f"shares tokens with {other.split(', ')[-1]}")
    for place in np.flatnonzero(across):
        check.fail(part.item(folder, int(place)), "reaches over the end of a row of the corpus")


def _agrees(folder: str, part: Part, store: LatentStore, silent: Check, windows: Check) -> None:
    begins = np.append(np.flatnonzero(np.diff(part.latents, prepend=-1)), len(part.latents))
    for begin, end in itertools.pairwise(begins):
        positions, values = store.latent(int(part.latents[begin]))
        stored, fires = dense(part.starts[begin:end], part.length, positions, values)
        stored *= part.is_text[begin:end]
        wrong = (stored != part.values[begin:end]).any(axis=1)
        loud = part.negative[begin:end] & fires
        silent.passed(int((part.negative[begin:end] & ~loud).sum()))
        windows.passed(int((~wrong).sum()))
        for place in np.flatnonzero(loud):
            silent.fail(part.item(folder, begin + int(place)), "should be silent, but the store has activations there")
        for place in np.flatnonzero(wrong):
            column = int(np.flatnonzero(stored[place] != part.values[begin + place])[0])
            was, now = stored[place, column], part.values[begin + place, column]
            windows.fail(
                part.item(folder, begin + int(place)), f"has {now:.6g} at column {column}, but the store has {was:.6g}"
            )


def is_text(starts: NDArray[np.int64], length: int, skipped: int, context: int) -> NDArray[np.bool_]:
    """Returns [windows, length] whether activations count there: not in the first ``skipped`` columns of a row of ``context``."""
    return (starts[:, None] + np.arange(length)) % context >= skipped


def dense(
    starts: NDArray[np.int64], length: int, positions: NDArray, values: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Returns [windows, length] the activations of a latent in its windows, and whether there is any in each."""
    low, high = np.searchsorted(positions, starts), np.searchsorted(positions, starts + length)
    counts = high - low
    rows = np.repeat(np.arange(len(starts)), counts)
    places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
    found = np.zeros((len(starts), length), np.float32)
    found[rows, positions[places] - starts[rows]] = values[places]
    return found, counts > 0
