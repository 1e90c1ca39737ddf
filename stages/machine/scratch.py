"""A folder of scratch, on this machine or at any address that fsspec knows, such as ``s3://bucket/scratch``."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.errors import GlossaError, said


@dataclass(frozen=True)
class Scratch:
    """Where runs lie. On this machine a file appears under its name whole or not at all."""

    url: str

    def __truediv__(self, name: str) -> Scratch:
        return Scratch(f"{self.url.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.url

    @property
    def folder(self) -> Path | None:
        """The folder on this machine, or None if it is elsewhere."""
        return None if "://" in self.url else Path(self.url)

    @cached_property
    def _remote(self) -> tuple[Any, str]:
        import fsspec

        try:
            return fsspec.url_to_fs(self.url)
        except (ImportError, ValueError, OSError) as error:
            why = said(error, whole=True)
            raise GlossaError(
                f"runtime scratch should be an address that fsspec can open, but {self.url} is not: {why}"
            ) from None

    def read(self, name: str, offset: int, into: NDArray[Any]) -> None:
        """Fills the vector ``into`` with the bytes of a file from ``offset`` on.

        Raises:
            OSError: there is no such file, or it ends before.
        """
        size = into.nbytes
        if size == 0:
            return
        if (folder := self.folder) is not None:
            with (folder / name).open("rb", buffering=0) as file:
                done = 0
                while done < size and (n := os.preadv(file.fileno(), [into.data.cast("B")[done:]], offset + done)):
                    done += n
        else:
            fs, root = self._remote
            found = fs.cat_file(f"{root}/{name}", start=offset, end=offset + size)
            done = len(found)
            if done == size:
                into[:] = np.frombuffer(found, into.dtype)
        if done != size:
            raise OSError(f"{self}/{name} ends {size - done} bytes early")

    def size(self, name: str) -> int:
        """The bytes of a file; OSError if there is none."""
        if (folder := self.folder) is not None:
            return (folder / name).stat().st_size
        fs, root = self._remote
        return fs.size(f"{root}/{name}")

    def prepare(self) -> Path:
        """Returns a folder of this machine in which a file can be written that ``put`` then moves here."""
        if (folder := self.folder) is not None:
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        import tempfile

        return Path(tempfile.mkdtemp(prefix="glossa-"))

    def put(self, written: Path, name: str) -> None:
        """Moves a file written in what ``prepare`` returned to ``name``, here."""
        if (folder := self.folder) is not None:
            written.replace(folder / name)
            return
        fs, root = self._remote
        fs.makedirs(root, exist_ok=True)
        fs.put_file(str(written), f"{root}/{name}")
        shutil.rmtree(written.parent)

    def remove(self) -> None:
        """Deletes this folder and what is in it."""
        if (folder := self.folder) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        fs, root = self._remote
        if fs.exists(root):
            fs.rm(root, recursive=True)
