"""data/similarity: the matched latents of every two coders, and how alike their explanations are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.outputs import new_directory, read_meta, read_table, write_meta, write_table

SCHEMA, VERSION = "glossa/similarity", 1


def matches_schema() -> pa.Schema:
    """One row for every matched pair and explainer: coders and explainers as in params.yaml, then by latent_a."""
    return pa.schema(
        [
            ("coder_a", pa.string()),
            ("coder_b", pa.string()),
            ("explainer", pa.string()),
            ("latent_a", pa.int32()),
            ("latent_b", pa.int32()),
            ("decoder_cosine", pa.float32()),
            ("explanation_a", pa.string()),  # null where the latent has none
            ("explanation_b", pa.string()),
            ("explanation_cosine", pa.float32()),  # null unless both are there
        ]
    )


def write(directory: Path, matches: pa.Table, meta: dict[str, Any]) -> None:
    """Writes the table and the meta."""
    with new_directory(directory) as partial:
        write_table(partial / "matches.parquet", matches)
        write_meta(partial, SCHEMA, VERSION, meta)


def read(directory: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Returns the matches and the meta."""
    meta = read_meta(directory, SCHEMA, VERSION)
    return read_table(directory / "matches.parquet"), meta
