"""Answers that were paid for and are not in the journal: those of transcripts that came from elsewhere, by ``dvc pull`` for one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.errors import GlossaError
from stages.llm.journal import transcript
from stages.llm.journal.store import Journal
from stages.wiring import locks

DATA = Path("data")
STAGE = "DVC_STAGE"
"""What DVC calls the stage that it runs, in the environment."""
CACHE = Path(".dvc/cache/files/md5")


def hint(journal: Journal) -> str | None:
    """Returns a sentence for whoever is about to pay, if there are transcripts with answers that the journal has never had."""
    unknown = [name for name, file in _transcripts() if _has_unknown(file, journal)]
    if not unknown:
        return None
    more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
    return (
        f"{unknown[0]}{more} holds answers that the journal {journal.path} does not have and that would be asked for again; "
        f"to have them taken from there, stop this and run dvc checkout --allow-missing and glossa journal import {DATA}"
    )


def _transcripts() -> Iterator[tuple[Path, Path]]:
    """Yields, with their places, the transcripts that are here, and that of the running stage, which DVC has removed."""
    for path in sorted(DATA.rglob(transcript.NAME)):
        yield path, path
    stage = os.environ.get(STAGE, "")
    try:
        for out in locks.read(locks.file_of(stage))[stage.rpartition(":")[2]]["outs"]:
            place = Path(out["path"]) / transcript.NAME
            manifest: Any = json.loads(_cached(out["md5"]).read_bytes())
            files = {one["relpath"]: _cached(one["md5"]) for one in manifest}
            if not place.is_file() and transcript.NAME in files:
                yield place, files[transcript.NAME]
    except (GlossaError, OSError, ValueError, KeyError, TypeError):
        return  # it never ran, its output is no folder, or the cache is elsewhere


def _cached(md5: str) -> Path:
    return CACHE / md5[:2] / md5[2:]


def _has_unknown(path: Path, journal: Journal) -> bool:
    """Whether the first calls of a transcript, whose file may be large, are in the journal only in part."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            keys = file.read_row_group(0, columns=["key"])["key"].to_pylist() if file.num_row_groups else []
    except (OSError, pa.ArrowException, KeyError):
        return False
    return any(key not in journal for key in keys)
