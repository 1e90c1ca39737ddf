"""What a pair of coders comes to as bytes, and back, to the last bit.

A zip archive: the figures and lists as JSON, and tables as Parquet. The texts of explanations are left out of the matches, because both
coders are at hand whenever the pair is.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any
from zipfile import ZipFile, ZipInfo

import pyarrow as pa
import pyarrow.parquet as pq

from stages.similarity.match import Matches
from stages.similarity.outcome import Near, Outcome
from stages.similarity.pairs import Compared
from stages.similarity.sources import Known
from stages.similarity.table import matches_schema

DIRECTION = "direction"
"""The column that matches have here beside their own: what links of chains are made of, in double precision."""
IMPLIED = ("coder_a", "coder_b", "explainer", "explanation_a", "explanation_b")
"""Columns of matches that the coders tell."""


def pack(outcome: Outcome) -> bytes:
    """Returns the bytes; the same for the same outcome."""
    found = BytesIO()
    with ZipFile(found, "w") as file:
        facts = [{"facts": one.facts, "lists": one.lists, "linked": one.link is not None} for one in outcome.compared]
        file.writestr(ZipInfo("facts.json"), json.dumps(facts, sort_keys=True))
        for place, one in enumerate(outcome.compared):
            matches = one.matches.drop_columns(list(IMPLIED))
            if one.link is not None:
                matches = matches.append_column(DIRECTION, pa.array(one.link[1], pa.float64()))
            _put(file, f"matches-{place}", matches)
        _put(file, "splits", outcome.splits)
        for side, near in zip("ab", outcome.near or (), strict=False):
            _put(file, f"near-{side}", pa.table(near._asdict()))
    return found.getvalue()


def unpack(content: bytes, a: Known, b: Known) -> Outcome:
    """Returns what ``pack`` was given of the coders ``a`` and ``b``."""
    with ZipFile(BytesIO(content)) as file:
        facts = json.loads(file.read("facts.json"))
        compared = [_compared(one, _take(file, f"matches-{place}"), a, b) for place, one in enumerate(facts)]
        near = None
        if "near-a.parquet" in file.namelist():
            of_a, of_b = (_near(_take(file, f"near-{side}")) for side in "ab")
            near = of_a, of_b
        return Outcome(compared, _take(file, "splits"), near)


def _compared(one: dict[str, Any], kept: pa.Table, a: Known, b: Known) -> Compared:
    facts = one["facts"]
    latents_a, latents_b = (kept[name].combine_chunks().to_numpy() for name in ("latent_a", "latent_b"))
    explainer, n = facts["explainer"], len(kept)
    columns = {
        "coder_a": pa.array([a.name] * n, pa.string()),
        "coder_b": pa.array([b.name] * n, pa.string()),
        "explainer": pa.array([explainer] * n, pa.string()),
        "explanation_a": pa.array(a.explained[explainer].of(latents_a), pa.string()),
        "explanation_b": pa.array(b.explained[explainer].of(latents_b), pa.string()),
    }
    schema = matches_schema()
    matches = pa.table([columns[name] if name in columns else kept[name] for name in schema.names], schema=schema)
    link = None
    if one["linked"]:
        link = Matches(latents_a, latents_b, facts["method"]), kept[DIRECTION].combine_chunks().to_numpy()
    return Compared(matches, facts, one["lists"], link)


def _near(kept: pa.Table) -> Near:
    return Near(*(kept[name].combine_chunks().to_numpy() for name in Near._fields))


def _put(file: ZipFile, name: str, table: pa.Table) -> None:
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=3)
    file.writestr(ZipInfo(f"{name}.parquet"), buffer.getvalue())


def _take(file: ZipFile, name: str) -> pa.Table:
    return pq.read_table(BytesIO(file.read(f"{name}.parquet"))).combine_chunks()
