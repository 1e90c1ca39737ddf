"""Whether stores of activations are whole, and their statistics those of what they hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stages import paths
from stages.latents.store import LatentStore
from stages.provenance.check import Check
from stages.provenance.examples import NO_STORE
from stages.provenance.project import Project

MOST = 10**8
"""Activations of a store that are read through without being asked to: half a minute's work."""
ROUNDING = 1e-6
"""Relative; of sums, which depend on their order."""


def checks(project: Project) -> Iterator[Check]:
    """Yields the one check."""
    check = Check("stores", "the files of every store, and its statistics, calculated anew from its activations")
    for coder in project.p.coders:
        path = paths.latents(coder)
        if not path.is_dir():
            check.skip(str(path), NO_STORE)
            continue
        with check.reading(str(path)):
            store = LatentStore.open(path)  # compares the lengths of all files
            check.passed(len(store.meta["files"]))
            if store.meta["n_events"] > MOST and not project.full:
                check.skip(str(path), "it is large: glossa audit --full reads it through")
            else:
                _statistics(store, check)
    yield check


def _statistics(store: LatentStore, check: Check) -> None:
    stored = {name: store.statistic(name) for name in ("count", "sum", "min", "max")}
    for first, positions, values, offsets in store.scan():
        for place in range(len(offsets) - 1):
            begin, end = offsets[place], offsets[place + 1]
            latent, here = first + place, values[begin:end]
            item = f"{store.path}, latent {latent}"
            rising = bool((np.diff(positions[begin:end].astype(np.int64)) > 0).all())
            check.expect(rising, item, "has positions out of order")
            found = {"count": len(here), "sum": float(here.sum(dtype=np.float64))}
            found |= {"min": float(here.min()), "max": float(here.max())} if len(here) else {}
            wrong = [
                name for name, value in found.items() if not np.isclose(stored[name][latent], value, rtol=ROUNDING)
            ]
            check.expect(not wrong, item, f"has another {', '.join(wrong)} than its statistics say")
