"""What a score is made from: every example of a few latents, what was said of it, and what was asked and answered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from stages.scorers.table import OWN, SHUFFLED
from stages.site.calls import Calls
from stages.site.digits import short
from stages.site.ordered import Ordered
from stages.text.display import lines, sentence

DIGITS = 4
WORDS = ("role", "kind", "reason")
"""Columns that say the same of many examples."""


def shard(verdicts: Ordered, calls: Calls, lowest: int, highest: int) -> dict[str, Any]:
    """Returns the verdicts of latents ``lowest`` to ``highest``: columns by latent and explanation, and the requests."""
    parts = {part: verdicts.of(lowest, highest, part) for part in (OWN, SHUFFLED)}
    keys = [key for table in parts.values() for key in table["request"].unique().to_pylist() if key is not None]
    requests, common = calls.find(keys)
    places = {request["key"]: place for place, request in enumerate(requests)}
    words: dict[str, int] = {}
    latents: dict[str, dict[str, dict[str, Any]]] = {}
    for part, table in parts.items():
        columns = _columns(table, words, places)
        owners = table["latent"].to_numpy()
        first = np.flatnonzero(np.diff(owners, prepend=owners[:1] - 1)).tolist() if len(owners) else []
        for begin, end in zip(first, [*first[1:], len(owners)], strict=False):
            of_latent = latents.setdefault(str(owners[begin]), {})
            of_latent[part] = {name: values[begin:end] for name, values in columns.items()}
    return {"words": list(words), "latents": latents, "requests": requests, "common": common}


def _columns(table: pa.Table, words: dict[str, int], places: dict[str, int]) -> dict[str, list[Any]]:
    """The columns that say anything, as lists."""
    found: dict[str, list[Any]] = {"window": table["window"].to_pylist()}
    for name in WORDS:
        if table[name].null_count < len(table):
            encoded = table[name].combine_chunks().dictionary_encode()
            codes = [words.setdefault(sentence(word), len(words)) for word in encoded.dictionary.to_pylist()]
            found[name] = _looked_up(codes, encoded.indices)
    found["decile"] = table["decile"].to_pylist()
    for name in ("active", "predicted"):
        if table[name].null_count < len(table):
            found[name] = table[name].cast(pa.int8()).to_pylist()
    if table["value"].null_count < len(table):
        found["value"] = short(table["value"].to_numpy(), DIGITS).tolist()  # what is no number is written as null
    if table["values"].null_count < len(table):
        found["values"] = _predictions(table["values"].combine_chunks())
    if table["text"].null_count < len(table):
        found["text"] = [None if text is None else lines(text) for text in table["text"].to_pylist()]
    if places:
        encoded = table["request"].combine_chunks().dictionary_encode()
        found["request"] = _looked_up([places.get(key) for key in encoded.dictionary.to_pylist()], encoded.indices)
    return found


def _looked_up(values: list[Any], codes: pa.Array) -> list[Any]:
    """The value of every code; None for null."""
    behind = [*values, None]
    return [behind[code] for code in codes.fill_null(len(values)).to_pylist()]


def _predictions(column: pa.Array) -> list[list[float] | None]:
    flat = short(column.values.to_numpy(zero_copy_only=False)).tolist()
    ends = column.offsets.to_pylist()
    valid = column.is_valid().to_pylist()
    return [
        flat[first:end] if is_valid else None for is_valid, first, end in zip(valid, ends[:-1], ends[1:], strict=True)
    ]
