"""Reading a store of activations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import zarr
from numpy.typing import NDArray
from scipy import sparse

from stages.errors import GlossaError, said
from stages.latents import spec
from stages.vector import Vector


@dataclass(frozen=True)
class LatentStore:
    """The activations of one coder: a sparse matrix of latents by flat token positions."""

    path: Path | str
    root: zarr.Group

    @classmethod
    def open(cls, path: Path | str) -> LatentStore:
        """Opens a store for reading, in a folder or at an address that fsspec knows, such as ``s3://bucket/one.zarr``.

        Raises:
            GlossaError: there is none at ``path``, it is of a version this code does not know, or a file of it is cut
                short or missing.
        """
        try:
            root = zarr.open_group(path, mode="r", zarr_format=3)
        except FileNotFoundError:
            raise GlossaError(f"expected a store of activations at {path}, but there is none; run dvc repro") from None
        except (ValueError, ImportError) as error:
            raise _damaged(path, error) from None
        found = (root.attrs.get("schema"), root.attrs.get("version"))
        if found != (spec.SCHEMA, spec.VERSION):
            raise GlossaError(
                f"expected {spec.SCHEMA} version {spec.VERSION} at {path}, found {found[0]} version {found[1]}; "
                "run dvc repro, or install the Glossa that wrote it"
            )
        store = cls(path, root)
        store._check_files()
        return store

    def _check_files(self) -> None:
        """A missing chunk would read as zeros, so the lengths of all files are compared with those noted at the end."""
        fs, folder = fsspec.url_to_fs(str(self.path))
        for name, size in self.meta["files"].items():
            try:
                found = fs.size(f"{folder}/{name}")
            except FileNotFoundError:
                found = 0
            if found != size:
                raise GlossaError(
                    f"expected {size:,} bytes in {folder}/{name}, found {found:,}; the store is cut short: delete it and "
                    "run dvc repro"
                )

    @property
    def meta(self) -> dict[str, Any]:
        """What the activations were made from."""
        return dict(self.root.attrs)

    @property
    def shape(self) -> tuple[int, int]:
        """(latents, positions)."""
        shape: Any = self.root["activations"].attrs["shape"]
        return shape[0], shape[1]

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """[latents + 1]: events of latent i are indptr[i]:indptr[i + 1]."""
        return self._array("activations/indptr")

    def statistic(self, name: str) -> NDArray:
        """[latents] ``count``, ``max``, ``min``, ``sum`` or ``square_sum``, or [latents, bins] ``histogram``."""
        return self._array(f"stats/{name}")

    def output(self, name: str) -> NDArray | None:
        """[latents, n] ``top_tokens``, ``top_values``, …: what each latent promotes; None where that is undefined."""
        return self._array(f"output/{name}") if name in self.root["output"] else None  # type: ignore[operator]

    def latent(self, latent: int) -> tuple[NDArray, NDArray[np.float32]]:
        """Returns the flat positions where ``latent`` fires, increasing, and its values there."""
        return self._events(int(self.indptr[latent]), int(self.indptr[latent + 1]))

    def span(self, first: int, last: int) -> tuple[NDArray, NDArray[np.float32], NDArray[np.int64]]:
        """Returns the positions and values of the latents ``first`` to ``last`` - 1, one after the other, and offsets.

        The events of the i-th of them are those from ``offsets[i]`` to ``offsets[i + 1]``.
        """
        offsets = self.indptr[first : last + 1] - self.indptr[first]
        return *self._events(int(self.indptr[first]), int(self.indptr[last])), offsets

    def scan(
        self, events_at_once: int = spec.SHARD
    ) -> Iterator[tuple[int, NDArray, NDArray[np.float32], NDArray[np.int64]]]:
        """Yields (first latent, positions, values, offsets) for consecutive groups of whole latents.

        A group holds about ``events_at_once`` events, or a single latent that has more.
        """
        n = len(self.indptr) - 1
        first = 0
        while first < n:
            last = int(np.searchsorted(self.indptr, self.indptr[first] + events_at_once, side="right")) - 1
            last = min(max(last, first + 1), n)
            yield first, *self.span(first, last)
            first = last

    def csr(self) -> sparse.csr_array:
        """The whole matrix in memory."""
        positions, values = self._events(0, int(self.indptr[-1]))
        return sparse.csr_array((values, positions, self.indptr), shape=self.shape)

    @cached_property
    def _arrays(self) -> tuple[Any, Any]:
        if "://" in str(self.path):
            return self.root["activations/indices"], self.root["activations/data"]
        folder = Path(self.path) / "activations"
        return Vector.open(folder / "indices"), Vector.open(folder / "data")

    def _events(self, begin: int, end: int) -> tuple[NDArray, NDArray[np.float32]]:
        try:
            indices, data = self._arrays
            return np.asarray(indices[begin:end]), np.asarray(data[begin:end])
        except (ValueError, RuntimeError, OSError) as error:
            raise _damaged(self.path, error) from None

    def _array(self, name: str) -> NDArray:
        try:
            return np.asarray(self.root[name][:])  # type: ignore[index]
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise _damaged(self.path, error) from None


def _damaged(path: Path | str, error: Exception) -> GlossaError:
    why = said(error, whole=True)
    return GlossaError(f"expected a store of activations at {path}, but it is damaged: {why}; run dvc repro")
