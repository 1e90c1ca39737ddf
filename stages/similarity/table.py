"""data/similarity: what every two coders have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.llm.journal.transcript import Recorder
from stages.outputs import dumps, new_directory, read_meta, read_table, write_meta, write_table

SCHEMA, VERSION = "glossa/similarity", 3

SAME = 0.7
"""Cosine, or correlation, from which on two latents count as having the same direction."""

MATCHED_BY = {
    "decoder": "the directions they write",
    "encoder": "the directions they read",
    "both": "the directions they read and write",
    "activations": "the tokens on which they fire",
    "meaning": "their explanations, so that the cosines of these are as large as they can be",
}
"""How ``compare.match`` is said to people."""


def matches_schema() -> pa.Schema:
    """One row for every matched pair and explainer: coders and explainers as in params.yaml, then by latent_a."""
    return pa.schema(
        [
            ("coder_a", pa.string()),
            ("coder_b", pa.string()),
            ("explainer", pa.string()),
            ("latent_a", pa.int32()),
            ("latent_b", pa.int32()),
            ("decoder_cosine", pa.float32()),  # null where the coders have no such similarity
            ("encoder_cosine", pa.float32()),
            ("activation_correlation", pa.float32()),  # Pearson, on the shared tokens; null unless stores were read
            ("activation_jaccard", pa.float32()),
            ("explanation_a", pa.string()),  # null where the latent has none
            ("explanation_b", pa.string()),
            ("explanation_cosine", pa.float32()),  # null unless both are there
        ]
    )


def splits_schema() -> pa.Schema:
    """One row for every latent that several latents of another coder are nearest to, by decoder directions."""
    return pa.schema(
        [
            ("coder", pa.string()),
            ("latent", pa.int32()),
            ("other", pa.string()),  # the coder of the several
            ("latents", pa.list_(pa.int32())),  # nearest first
            ("cosines", pa.list_(pa.float32())),
            ("joint_cosine", pa.float32()),  # of the latent with the best combination of the several
        ]
    )


class Content(NamedTuple):
    """What the compare stage writes."""

    matches: pa.Table
    splits: pa.Table
    lists: dict[str, Any]
    """By explainer: what ``stages.similarity.lists`` finds."""
    embeddings: Mapping[str, NDArray[np.float32]]
    """{explanation: vector}."""
    meta: dict[str, Any]


def write(directory: Path, found: Content, transcript: Recorder | None = None) -> None:
    """Writes the tables, the lists, the embeddings, the meta and, if a model was called, the transcript."""
    with new_directory(directory) as partial:
        write_table(partial / "matches.parquet", found.matches)
        write_table(partial / "splits.parquet", found.splits)
        write_table(partial / "embeddings.parquet", _embeddings(found.embeddings))
        (partial / "lists.json").write_text(dumps(found.lists), encoding="utf-8")
        write_meta(partial, SCHEMA, VERSION, found.meta)
        if transcript is not None:
            transcript.save(partial)


def _embeddings(vector: Mapping[str, NDArray[np.float32]]) -> pa.Table:
    texts = sorted(vector)
    width = len(vector[texts[0]]) if texts else 0
    flat = np.concatenate([vector[text] for text in texts]) if texts else np.empty(0, np.float32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), max(1, width))
    return pa.table({"text": pa.array(texts, pa.string()), "vector": vectors})


def read(directory: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Returns the matches and the meta."""
    meta = read_meta(directory, SCHEMA, VERSION)
    return read_table(directory / "matches.parquet"), meta


def read_embeddings(directory: Path) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
    """Returns {explanation: vector at unit norm} and the meta, which names the embedder."""
    meta = read_meta(directory, SCHEMA, VERSION)
    table = read_table(directory / "embeddings.parquet")
    column = table["vector"].combine_chunks()
    vectors = column.flatten().to_numpy().reshape(len(table), -1) if len(table) else []
    return dict(zip(table["text"].to_pylist(), vectors, strict=True)), meta
