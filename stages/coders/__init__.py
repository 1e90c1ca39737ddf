"""Sparse coders: one canonical form, and a reader for every format they are saved in."""

from __future__ import annotations

from pathlib import Path

from stages.coders.readers import sparsify
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

READERS = {"sparsify": sparsify}


def load(path: str) -> SparseCoder:
    """Reads the coder in the folder ``path``, whose format is detected.

    Raises:
        GlossaError: there is no such folder, no format fits, or the files are damaged.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise GlossaError(f"a coder's path should be a folder, but there is none at {path}")
    for reader in READERS.values():
        if reader.detect(folder):
            return reader.read(folder)
    found = ", ".join(sorted(file.name for file in folder.iterdir())) or "nothing"
    raise GlossaError(f"expected a sparse coder in {path} ({', '.join(READERS)}), found {found}")
