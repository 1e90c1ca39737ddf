from __future__ import annotations

import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import outputs, paths
from stages.errors import GlossaError
from stages.examples import table
from stages.examples.table import Examples, WindowsWriter, windows_schema


@pytest.fixture
def examples(at_finished: Path) -> Examples:
    return Examples.open(paths.examples("one"))


def test_latents_come_back_with_their_windows(examples: Examples) -> None:
    kept = [row for row in examples.latents.to_pylist(maps_as_pydicts="strict") if row["dropped"] is None]
    found = list(examples)
    assert [latent.facts for latent in found] == kept
    assert len(kept) == examples.meta["kept"] > 5
    rows = examples.windows.to_pylist()
    for latent in found:
        assert latent.latent == latent.facts["latent"]
        for role, kind, windows in (
            ("train", None, latent.train),
            ("test", None, latent.test),
            ("test", "random", latent.negative),
            ("validation", None, latent.validation),
            ("validation", "random", latent.validation_negative),
            ("train", "random", latent.train_negative),
        ):
            part = [row for row in rows if (row["latent"], row["role"], row["kind"]) == (latent.latent, role, kind)]
            assert windows.starts.tolist() == [row["start"] for row in part]
            assert windows.deciles.tolist() == [row["decile"] for row in part]
            assert windows.kinds == [kind] * len(part)
            assert windows.tokens.shape == windows.activations.shape == (len(part), 8)
            assert windows.activations.tolist() == [row["activations"] or [0] * 8 for row in part]
        assert len(latent.train) == latent.facts["n_train"] > 0
        assert len(latent.test) == latent.facts["n_test"] > 0
        assert latent.facts["n_negatives"] == {"random": len(latent.negative)}


def test_tokens_are_those_of_the_corpus(examples: Examples) -> None:
    from stages.corpus.tokens import Tokens

    flat = Tokens.open().matrix.reshape(-1)
    for latent in examples:
        for windows in (latent.train, latent.test, latent.negative):
            for start, tokens in zip(windows.starts.tolist(), windows.tokens.tolist(), strict=True):
                assert tokens == flat[start : start + 8].tolist()


def test_some_latents_are_read_without_the_others(examples: Examples, tmp_path: Path) -> None:
    everything = {latent.latent: latent for latent in examples}
    wanted = sorted(everything)[1::3]
    dropped = [row["latent"] for row in examples.latents.to_pylist() if row["dropped"]]
    with mock.patch.object(table, "ROW_GROUP", 40):
        shutil.copytree(examples.directory, tmp_path / "one")
        with WindowsWriter(tmp_path / "one" / "windows.parquet") as writer:
            writer.add(examples.windows)
    copy = Examples.open(tmp_path / "one")
    groups = pq.ParquetFile(tmp_path / "one" / "windows.parquet").num_row_groups
    assert groups > 4
    with mock.patch.object(
        pq.ParquetFile, "read_row_group", autospec=True, side_effect=pq.ParquetFile.read_row_group
    ) as read:
        found = list(copy.of([*reversed(wanted), *dropped, 10**6]))
        assert read.call_count <= len(wanted)
        assert [latent.latent for latent in found] == wanted
        read.reset_mock()
        (one,) = copy.of([wanted[-1]])
        assert read.call_count == 1
    for latent in [*found, one]:
        assert latent.facts == everything[latent.latent].facts
        assert latent.test.starts.tolist() == everything[latent.latent].test.starts.tolist()
    assert list(copy.of([])) == []
    assert len(list(copy)) == len(everything)


def rows(latents: list[int]) -> pa.Table:
    """Windows of these latents, as many of each as it is named in a row."""
    columns = {"latent": latents, "role": ["train"] * len(latents), "start": range(len(latents))}
    columns |= {"max": [1.5] * len(latents), "activations": [[0, 1.5]] * len(latents)}
    found = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return pa.Table.from_pylist([dict.fromkeys(windows_schema().names) | row for row in found], windows_schema())


@pytest.mark.parametrize(
    "parts", [[[0, 0, 1, 2, 2, 2, 3]], [[0, 0], [1], [2, 2, 2, 3]], [[0, 0, 1], [], [2, 2, 2], [3]]]
)
def test_the_bytes_do_not_depend_on_the_parts_in_which_windows_come(tmp_path: Path, parts: list[list[int]]) -> None:
    with mock.patch.object(table, "ROW_GROUP", 2):
        with WindowsWriter(tmp_path / "whole.parquet") as whole:
            whole.add(rows([0, 0, 1, 2, 2, 2, 3]))
        everything, done = rows([0, 0, 1, 2, 2, 2, 3]), 0
        with WindowsWriter(tmp_path / "parts.parquet") as writer:
            for part in parts:
                writer.add(everything.slice(done, len(part)))
                done += len(part)
    assert writer.rows == whole.rows == 7
    assert outputs.file_sha256(tmp_path / "parts.parquet") == outputs.file_sha256(tmp_path / "whole.parquet")
    file = pq.ParquetFile(tmp_path / "parts.parquet")
    assert [file.read_row_group(i)["latent"].to_pylist() for i in range(file.num_row_groups)] == [
        [0, 0],
        [1, 2, 2, 2],
        [3],
    ]
    assert file.read().equals(everything)


def test_no_window_at_all_is_an_empty_table(tmp_path: Path) -> None:
    with WindowsWriter(tmp_path / "windows.parquet"):
        pass
    assert pq.read_table(tmp_path / "windows.parquet").schema.equals(windows_schema())
    assert pq.ParquetFile(tmp_path / "windows.parquet").metadata.num_rows == 0


def test_a_missing_sample_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        GlossaError, match=r"expected glossa/examples in .*none, but it has no meta\.json; run dvc repro"
    ):
        Examples.open(tmp_path / "none")


def test_damage_and_other_tokens_are_named(
    finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished_workplace / "data" / "examples" / "one", tmp_path / "one")
    shutil.copytree(finished_workplace / "data" / "tokens", tmp_path / "data" / "tokens")
    monkeypatch.chdir(tmp_path)
    meta = tmp_path / "data" / "tokens" / "meta.json"
    good = meta.read_text()
    meta.write_text(good.replace('"tokens_sha256": "', '"tokens_sha256": "f'))
    with pytest.raises(GlossaError, match=r"the windows in .*one were taken from other tokens than .*; run dvc repro"):
        list(Examples.open(tmp_path / "one"))
    meta.write_text(good)
    assert len(list(Examples.open(tmp_path / "one"))) > 5
    (tmp_path / "one" / "windows.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(GlossaError, match=r"expected a Parquet table in .*windows\.parquet, but it is damaged"):
        list(Examples.open(tmp_path / "one"))
    (tmp_path / "one" / "windows.parquet").unlink()
    with pytest.raises(GlossaError, match=r"expected the table .*windows\.parquet, but there is no such file"):
        list(Examples.open(tmp_path / "one"))


def test_windows_of_nothing() -> None:
    none = table.Windows.none()
    assert len(none) == 0
    assert none.tokens.dtype == np.int32
    assert none.activations.dtype == np.float32
