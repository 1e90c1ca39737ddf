from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from stages.examples import by_kind

KINDS = st.lists(st.text(max_size=3), max_size=12, unique=True)


@given(KINDS, st.integers(0, 5), st.randoms())
def test_numbers_of_any_kinds_come_back(kinds: list[str], n_latents: int, chance: object) -> None:
    generator = np.random.default_rng(len(kinds))
    numbers = {kind: generator.integers(0, 99, n_latents) for kind in kinds}
    column = by_kind.column(numbers, n_latents)
    assert column.type == by_kind.TYPE
    assert column.to_pylist() == [[(kind, n[latent]) for kind, n in numbers.items()] for latent in range(n_latents)]
    found = by_kind.numbers(pa.chunked_array([column]))
    assert list(found) == (kinds if n_latents else [])
    assert all(found[kind].tolist() == numbers[kind].tolist() for kind in found)


def test_what_is_not_counted_is_0(tmp_path: Path) -> None:
    rows = [[("a", 1), ("b", 2)], None, [], [("b", 3)], [("c", 4)]]
    whole = pa.chunked_array([pa.array(rows[:2], by_kind.TYPE), pa.array(rows[2:], by_kind.TYPE)])
    pq.write_table(pa.table({"n": whole}), tmp_path / "n.parquet")
    for column in (whole, pq.read_table(tmp_path / "n.parquet")["n"]):
        found = {kind: n.tolist() for kind, n in by_kind.numbers(column).items()}
        assert found == {"a": [1, 0, 0, 0, 0], "b": [2, 0, 0, 3, 0], "c": [0, 0, 0, 0, 4]}
        part = {kind: n.tolist() for kind, n in by_kind.numbers(column.slice(2, 2)).items() if n.any()}
        assert part == {"b": [0, 3]}
    assert by_kind.numbers(pa.chunked_array([], by_kind.TYPE)) == {}
