from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import GlossaError
from stages.site.ordered import Ordered


def write(path: Path, rows: list[tuple[str, int]], group: int) -> None:
    columns = {"part": [part for part, _ in rows], "latent": pa.array([latent for _, latent in rows], pa.int32())}
    pq.write_table(pa.table(columns | {"row": list(range(len(rows)))}), path, row_group_size=group)


ROWS = st.lists(st.tuples(st.sampled_from(["own", "shuffled"]), st.integers(0, 9)), max_size=40).map(sorted)


@settings(max_examples=50)
@given(ROWS, st.integers(1, 12), st.integers(0, 9), st.integers(0, 9))
def test_the_rows_of_some_latents_whatever_the_row_groups(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int]], group: int, lowest: int, highest: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "ordered.parquet"
    write(path, rows, group)
    found = Ordered(path, "part")
    assert found.latents == {latent for _, latent in rows}
    for part in ("own", "shuffled", "own"):
        due = [place for place, (of, latent) in enumerate(rows) if of == part and lowest <= latent <= highest]
        assert found.of(lowest, highest, part)["row"].to_pylist() == due


def test_a_table_without_parts(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [("", latent) for latent in (1, 1, 4, 4, 4, 9)], 2)
    found = Ordered(tmp_path / "x.parquet")
    assert found.of(2, 5)["row"].to_pylist() == [2, 3, 4]
    assert found.of(5, 8)["row"].to_pylist() == []


def test_what_can_not_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(GlossaError, match="no such file; run dvc repro"):
        Ordered(tmp_path / "x.parquet")
    write(tmp_path / "x.parquet", [("", 1)] * 5000, 5000)
    whole = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(GlossaError, match="but it is damaged"):
        Ordered(tmp_path / "x.parquet")
