"""However many kinds there are: a latent's windows stand by role and kind, and every kind is counted."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest

from stages import params, registry
from stages.examples import batches
from stages.examples.negatives import Batch, Found
from stages.examples.negatives.pick import first, found
from stages.examples.rows import Rows, windows_table
from stages.examples.table import ROLES
from tests.examples.made import World, world

KINDS = [f"kind{number}" for number in (3, 1, 4, 15, 9, 2, 6, 5, 35)]


def module(number: int, n_blocks: int) -> Any:
    """A source of the silent blocks from the ``number``-th on."""

    def find(batch: Batch, n: int) -> Found:
        tried = np.tile(np.roll(np.arange(n_blocks), -number), (batch.n_latents, 1))
        return found(first(tried, batch.busy, n, np.arange(batch.n_latents)))

    return SimpleNamespace(source=lambda setting: SimpleNamespace(facts={"from": number}, find=find))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> World:
    made = world(5, 20, 24, 0.05, signed=False, seed=1)
    names = {kind: f"made_negatives_{kind}" for kind in KINDS}
    monkeypatch.setattr(registry, "NEGATIVES", {"random": registry.NEGATIVES["random"], **names})
    for number, name in enumerate(names.values()):
        monkeypatch.setitem(sys.modules, name, module(number, made.tokens.rows * 3))
    return made


def test_nine_kinds_beside_another_stand_in_the_order_of_the_registry(here: World) -> None:
    asked = {kind: 1 + place % 3 for place, kind in enumerate(KINDS)}
    values = {
        "latents": "all",
        "min_activations": 1,
        "window": 8,
        "train": {"n": 3, "negatives": {KINDS[8]: 1, KINDS[0]: 2}},
    }
    values |= {"test": {"per_decile": 1, "negatives": dict(reversed(asked.items())) | {"random": 2}}}
    options = params.Sampling.model_validate(values)
    sampled, rows = here.sample(options)
    order = ["random", *KINDS]
    keys = [
        (
            row["latent"],
            ROLES.index(row["role"]),
            0 if row["kind"] is None else 1 + order.index(row["kind"]),
            row["decile"],
        )
        for row in rows
    ]
    assert keys == sorted(keys)
    assert {row["kind"] for row in rows} == {None, *order}
    assert {row["role"] for row in rows if row["kind"]} == {"test", "train"}
    for latent, numbers in enumerate(sampled.latents["n_negatives"].to_pylist()):
        own = [row["kind"] for row in rows if (row["latent"], row["role"]) == (latent, "test")]
        assert numbers == [(kind, own.count(kind)) for kind in order]
    assert list(sampled.facts["negatives"]) == order
    with mock.patch.multiple(batches, EVENTS=7, LATENTS=2):
        assert here.sample(options)[1] == rows


def test_rows_are_in_the_order_of_their_parts_by_role_and_place() -> None:
    """Against a sort by hand, with more parts than a byte counts."""
    generator = np.random.default_rng(0)
    kinds = [f"k{number}" for number in range(300)]
    parts = [Rows("train", None, *(np.empty(0, np.int64),) * 3)]
    for kind in kinds:
        owners = np.sort(generator.integers(0, 4, 5))
        parts.append(
            Rows("test" if len(parts) % 2 else "train", kind, owners, generator.integers(0, 2**40, 5), np.full(5, -1))
        )
    empty = np.empty(0, np.int64)
    windows = SimpleNamespace(bounds=np.zeros(5, np.int64), first=empty, last=empty, starts=empty)
    events = SimpleNamespace(latents=np.array([3, 5, 8, 9]), positions=empty, values=np.empty(0, np.float32))
    batch: Any = SimpleNamespace(windows=windows, events=events, ranking=SimpleNamespace(order=empty))
    rows = windows_table(batch, parts, 8).to_pylist()
    expected = [
        (int(events.latents[owner]), ROLES.index(part.role), place, int(start))
        for place, part in enumerate(parts)
        for owner, start in zip(part.owners, part.starts, strict=True)
    ]
    of = {part.kind: place for place, part in enumerate(parts)}
    assert [(r["latent"], ROLES.index(r["role"]), of[r["kind"]], r["start"]) for r in rows] == sorted(expected)
    assert len(rows) == 1500
    assert windows_table(batch, parts[:1], 8).schema.field("kind").type == pa.string()
