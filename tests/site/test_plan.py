from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.examples.table import Examples, latents_schema
from stages.results.reading import Results
from stages.site.plan import Plan

LATENTS = st.dictionaries(st.integers(0, 60), st.booleans(), max_size=40)


def plan(latents: dict[int, bool], size: int) -> Plan:
    rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for latent in sorted(latents):
        row = dict.fromkeys(latents_schema().names) | {"latent": latent, "dropped": None if latents[latent] else "why"}
        rows[latents[latent]].append(row)
    kept, dropped = (pa.Table.from_pylist(rows[is_kept], latents_schema()) for is_kept in (True, False))
    return Plan(kept, dropped, size)


@given(LATENTS, st.integers(1, 9))
def test_every_latent_is_in_exactly_one_shard(latents: dict[int, bool], size: int) -> None:
    found = plan(latents, size)
    parts = [found.facts(number)["latent"].to_pylist() for number in found.numbers]
    assert [latent for part in parts for latent in part] == sorted(latent for latent, kept in latents.items() if kept)
    assert [part[0] for part in parts] == found.firsts
    assert [found.bounds(number) for number in found.numbers] == [(part[0], part[-1]) for part in parts]
    dropped = [found.dropped_in(number) for number in found.numbers]
    if parts:
        assert sorted(pair for part in dropped for pair in part) == [
            (n, "why") for n, kept in sorted(latents.items()) if not kept
        ]
    # Whoever looks for a latent in the shard with the last first latent that is not above it finds it, or why it was dropped.
    for latent in latents:
        number = max((n for n, first in enumerate(found.firsts) if first <= latent), default=0)
        if parts:
            assert latent in parts[number] or (latent, "why") in dropped[number]


def test_shards_that_hold_any_of_some_latents() -> None:
    found = plan(dict.fromkeys(range(10), True), 4)
    assert found.holding({0, 3, 9}) == [0, 2]
    assert found.holding(set()) == []
    assert found.holding({77}) == []


def test_the_plan_of_a_coder(furnished: Path, found: Results) -> None:
    plan = Plan.of(Examples.open(found.coders["one"].examples().directory))
    assert plan.kept["latent"].to_pylist() == [2, 7]
    assert plan.dropped_in(0) == [(5, "never fires")]


@pytest.mark.parametrize("size", [1, 2])
def test_a_dropped_latent_before_all_others_is_in_the_first_shard(size: int) -> None:
    assert plan({0: False, 4: True, 5: True, 9: False}, size).dropped_in(0)[0] == (0, "why")
