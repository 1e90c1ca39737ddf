"""What is known of every latent that was chosen: the latents table, filled in batch by batch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages import params, plan
from stages.examples import by_kind
from stages.examples.counted import Counted
from stages.examples.split import DECILES
from stages.examples.table import PLACES, ROLES, latents_schema
from stages.latents.store import LatentStore

REASONS = (
    None,
    "never fires",
    "fires on fewer tokens than sampling.min_activations",
    "never fires above 0 in a window that may be taken",
    "fires in a single window",
)
"""Why a latent is dropped; the first stands for one that is kept."""
KEPT, NEVER, RARE, NOWHERE, ONCE = range(len(REASONS))

NUMBERS = ("n_windows", *(f"n_{role}" for role in ROLES))
OUTPUT = ("top_tokens", "top_values", "bottom_tokens", "bottom_values")


class Facts:
    """Columns with a place for every chosen latent."""

    def __init__(self, counted: Counted, sampling: params.Sampling) -> None:
        self.latents, self.counts = counted.latents, counted.counts
        latents, counts = self.latents, self.counts
        self._counted = counted
        self.reasons = np.where(counts == 0, NEVER, np.where(counts < sampling.min_activations, RARE, KEPT))
        self.numbers = {name: np.zeros(len(latents), np.int64) for name in NUMBERS}
        self.negatives = {
            kind: np.zeros(len(latents), np.int64)
            for kind in plan.kinds_of_negatives(sampling)
            if plan.negatives(sampling, kind)[0]
        }
        """Of the test, by the kinds that were asked for."""
        self._sampling = sampling

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether each latent is not dropped, as far as is known."""
        return self.reasons == KEPT

    @property
    def dropped(self) -> dict[str, int]:
        """How many latents were dropped for each reason."""
        return {
            str(reason): n for code, reason in enumerate(REASONS) if code and (n := int((self.reasons == code).sum()))
        }

    def fill(
        self,
        places: NDArray[np.int64],
        candidates: NDArray[np.int64],
        numbers: dict[str, NDArray[np.int64]],
        negatives: dict[str, NDArray[np.int64]],
    ) -> None:
        """Takes the ``NUMBERS`` and ``negatives`` of the latents at these places, and how many windows each could have been given."""
        self.reasons[places[candidates == 0]] = NOWHERE
        self.reasons[places[candidates == 1]] = ONCE
        for name, values in numbers.items():
            self.numbers[name][places] = values
        for kind, values in negatives.items():
            self.negatives[kind][places] = values

    def fewer(self) -> dict[str, int]:
        """Of how many kept latents there are fewer windows than were asked for, by what they are for."""
        sampling = self._sampling
        asked = (sampling.train.n, sampling.validation.n, DECILES * sampling.test.per_decile)
        wanted = [(role, n, self.numbers[f"n_{role}"]) for role, n in zip(ROLES, asked, strict=True)]
        wanted += [(kind, plan.negatives(sampling, kind)[0], numbers) for kind, numbers in self.negatives.items()]
        found = {name: int((numbers[self.kept] < n).sum()) for name, n, numbers in wanted}
        return {name: n for name, n in found.items() if n}

    def table(self, store: LatentStore) -> pa.Table:
        """Returns the table (``latents_schema``)."""
        columns: dict[str, object] = {
            "latent": self.latents,
            "dropped": pa.array(REASONS).take(pa.array(self.reasons)),
            "count": self.counts,
            "density": self.counts / self._counted.ordinary,
            "max": self._counted.largest,
            "mean": self._counted.total / np.maximum(1, self.counts),
            "histogram": _lists(self._counted.histogram),
            **self.numbers,
            "n_negatives": by_kind.column(self.negatives, len(self.latents)),
            **{name: self._outputs(store.output(name)) for name in OUTPUT},
        }
        places = {name: found for name, _ in PLACES if (found := store.output(name)) is not None}
        columns |= {name: found[self.latents].tolist() for name, found in places.items()}
        schema = latents_schema(places=bool(places))
        return pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema)

    def _outputs(self, values: NDArray | None) -> object:
        return [None] * len(self.latents) if values is None else _lists(values[self.latents])


def _lists(values: NDArray) -> pa.ListArray:
    offsets = np.arange(0, values.size + 1, max(1, values.shape[1]), dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, np.ascontiguousarray(values).ravel())
