"""The sampled windows of a few latents: all columns as arrays, and those a verdict can point to as a shard."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.site.ordered import Ordered
from stages.site.spelling import Spelling, sparse


class Windows(NamedTuple):
    """Windows in the order of the table."""

    latents: NDArray[np.int32]
    """[n]."""
    roles: list[str]
    deciles: NDArray[np.int8]
    starts: NDArray[np.int64]
    """[n] flat position of the first token."""
    ids: NDArray[np.int32]
    """[n, window]."""
    activations: NDArray[np.float32]
    """[n, window]."""


class Sampled:
    """The windows of a coder."""

    def __init__(self, examples: Examples, tokens: Tokens) -> None:
        """Raises GlossaError if they are missing, damaged, or of other tokens."""
        if tokens.sha256 != examples.meta["tokens_sha256"]:
            raise GlossaError(
                f"the windows in {examples.directory} were taken from other tokens than {tokens.directory}; run dvc repro"
            )
        self._length = examples.meta["window"]
        self._flat = tokens.matrix.reshape(-1)
        self._rows = Ordered(examples.directory / "windows.parquet")

    def firing(self, lowest: int, highest: int) -> Windows:
        """Returns the train and test windows in which latents ``lowest`` to ``highest`` fire."""
        rows = self._rows.of(lowest, highest)
        return self._windows(
            rows.filter(pc.and_(rows["kind"].is_null(), pc.is_in(rows["role"], pa.array(["train", "test"]))))
        )

    def judged(self, latents: list[int]) -> Windows:
        """Returns the windows of ``latents``, which increase, that scorers show: those held out, in which they fire or are silent."""
        rows = self._rows.of(latents[0], latents[-1])
        chosen = pc.and_(pc.equal(rows["role"], "test"), pc.is_in(rows["latent"], pa.array(latents, pa.int32())))
        return self._windows(rows.filter(chosen))

    def _windows(self, rows: pa.Table) -> Windows:
        starts = rows["start"].to_numpy()
        places = starts[:, None] + np.arange(self._length)
        activations = np.zeros(places.shape, np.float32)
        found = rows["activations"].combine_chunks()
        activations[found.is_valid().to_numpy(zero_copy_only=False)] = (
            found.flatten().to_numpy().reshape(-1, self._length)
        )
        return Windows(
            rows["latent"].to_numpy(),
            rows["role"].to_pylist(),
            rows["decile"].to_numpy(),
            starts,
            self._flat[places],
            activations,
        )


def shard(windows: Windows, spelling: Spelling) -> dict[str, Any]:
    """Returns ``strings`` and, by latent and start, the tokens and values of windows that stand together latent by latent."""
    strings, places = spelling.table(windows.ids)
    names = [str(start) for start in windows.starts.tolist()]
    shown = list(zip(places.tolist(), sparse(windows.activations), strict=True))
    owners, first = np.unique(windows.latents, return_index=True)
    bounds = [*first.tolist(), len(names)]
    latents = {
        str(latent): dict(zip(names[begin:end], shown[begin:end], strict=True))
        for latent, begin, end in zip(owners.tolist(), bounds[:-1], bounds[1:], strict=True)
    }
    return {"strings": strings, "latents": latents}
