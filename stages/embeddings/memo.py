"""Embeddings of texts that outlive every stage, so that only new texts are embedded.

They lie in Glossa's home by the sha256 of the model, its prompt and the text. Batches hold texts of
one length (``Embedder.stream``), so a vector depends on what it was embedded with by rounding alone, in its last bits: a run that
finds some remembered may differ in these from one that does not. Delete the file at will.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.embeddings.embedder import Embedder
from stages.errors import GlossaError
from stages.machine import runtime

NAME = "embeddings.sqlite"
ASKED = 500
"""Keys looked up at once; SQLite takes at least 999 variables."""
WAIT_SECONDS = 60.0


def embed(model: Embedder, texts: Sequence[str], known: Mapping[str, NDArray] | None = None) -> dict[str, NDArray]:
    """Returns {text: [width] float32 at unit norm}; ``known`` holds vectors of the same model found elsewhere.

    Every vector is kept as soon as it is there.

    Raises:
        GlossaError: the file of kept embeddings is damaged or can't be written.
    """
    found = {text: known[text] for text in texts if text in known} if known else {}
    missing = sorted(set(texts) - found.keys())
    if not missing:
        return found
    path = runtime.home() / NAME
    key_of = {text: _key(model, text) for text in missing}
    with _opened(path) as database:
        found |= _read(database, key_of)
        missing = [text for text in missing if text not in found]
        if missing:
            for batch, vectors in model.stream(missing):
                rows = [(key_of[text], vector.tobytes()) for text, vector in zip(batch, vectors, strict=True)]
                with database:
                    database.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
                found |= zip(batch, vectors, strict=True)
    return found


def _key(model: Embedder, text: str) -> bytes:
    return hashlib.sha256(bytes.fromhex(model.identity["sha256"]) + text.encode("utf-8", "surrogatepass")).digest()


def _read(database: sqlite3.Connection, key_of: Mapping[str, bytes]) -> dict[str, NDArray]:
    text_of = {key: text for text, key in key_of.items()}
    keys = list(text_of)
    found = {}
    for first in range(0, len(keys), ASKED):
        part = keys[first : first + ASKED]
        marks = ", ".join("?" * len(part))
        for key, vector in database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part):
            found[text_of[key]] = np.frombuffer(vector, np.float32)
    return found


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            with database:
                database.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
            yield database
    except (sqlite3.Error, NotADirectoryError, PermissionError) as error:
        raise GlossaError(
            f"embeddings should be kept in {path}, but it can't be used ({error}); delete it, or set GLOSSA_HOME to another "
            "folder"
        ) from None
