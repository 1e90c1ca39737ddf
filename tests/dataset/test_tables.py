from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages import paths
from stages.dataset import tables
from stages.dataset.columns import CONFIGS
from stages.errors import GlossaError
from tests.dataset.conftest import write
from tests.folders import tree
from tests.results.furnished import HOSTILE


def rows(dataset: Path, config: str, file: str = "one") -> list[dict[str, Any]]:
    return pq.read_table(dataset / config / f"{file}.parquet").to_pylist()


def test_explanations_are_of_every_explainer_with_the_reason_where_there_is_none(dataset: Path) -> None:
    found = [
        (row["explainer"], row["latent"], row["explanation"], row["reason"]) for row in rows(dataset, "explanations")
    ]
    assert found == [
        ("pattern", 2, "the word cat", None),
        ("pattern", 7, None, "no rule fits"),
        ("llm", 2, HOSTILE, None),
        ("llm", 7, "dogs", None),
    ]
    assert {(row["coder"], row["hookpoint"]) for row in rows(dataset, "explanations", "two")} == {("two", "layers.1")}


def test_scores_carry_their_metric_and_floors_and_those_of_latents_stand_beside(dataset: Path) -> None:
    found = rows(dataset, "scores")
    chosen = {(row["explainer"], row["scorer"], row["control"], row["latent"]): row for row in found}
    assert len(chosen) == len(found)
    own = chosen["llm", "detection", "own", 2]
    assert (own["metric"], own["score"], own["n"], own["unscored"]) == ("balanced_accuracy", 0.8, 9, 1)
    assert chosen["llm", "detection", "shuffled", 2]["score"] == 0.5
    lost = chosen["llm", "detection", "own", 7]
    assert (lost["score"], lost["reason"]) == (None, "no verdict")
    assert chosen["latent", "intruder", "own", 2]["metric"] == "accuracy"


def test_verdicts_are_tied_to_examples(dataset: Path) -> None:
    one, two = rows(dataset, "verdicts")
    assert (one["explainer"], one["scorer"], one["control"]) == ("llm", "detection", "own")
    assert (one["window"], one["predicted"], one["value"]) == (4, True, 0.75)
    assert (two["predicted"], two["reason"]) == (None, "no answer")
    starts = {(row["latent"], row["start"]) for row in rows(dataset, "examples")}
    assert {(one["latent"], one["window"]), (two["latent"], two["window"])} <= starts


def test_examples_say_where_they_stand_and_what_they_hold(dataset: Path) -> None:
    found = {(row["latent"], row["start"]): row for row in rows(dataset, "examples")}
    assert len(found) == 14
    strongest = found[2, 0]
    assert strongest["tokens"] == [" cat", "</script>", " a", " a"]
    assert strongest["token_ids"] == [1, 2, 9, 9]
    assert found[2, 4]["tokens"][-1] == "<end>"
    assert found[2, 4]["text"] == " a\n\u202e\n", "a document ends in a line break"
    assert strongest["activations"] == [8.0, 0.0, 0.0, 0.0]
    assert (strongest["role"], strongest["kind"], strongest["document"]) == ("train", None, "first")
    pieces = found[2, 12]
    assert (pieces["row"], pieces["position"]) == (1, 4)
    assert pieces["tokens"] == [" a", "\u00e9", "", " a"]
    assert pieces["text"] == " a\u00e9 a"
    silent = found[7, 28]
    assert (silent["role"], silent["kind"], silent["document"]) == ("test", "random", "second <b>")
    assert silent["activations"] == [0.0] * 4


def test_matches_are_as_compare_wrote_them(dataset: Path) -> None:
    found = rows(dataset, "similarity", "matches")
    assert [(row["latent_a"], row["latent_b"]) for row in found] == [(2, 7), (7, 2)]
    assert found[0]["decoder_cosine"] == pytest.approx(0.9)


@pytest.mark.parametrize("config", CONFIGS)
def test_load_dataset_reads_every_configuration(
    dataset: Path, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    datasets.disable_progress_bars()
    found = datasets.load_dataset(str(dataset), config, split="train", cache_dir=str(tmp_path))
    assert found.column_names == CONFIGS[config].schema.names
    expected = [row for file in sorted((dataset / config).iterdir()) for row in pq.read_table(file).to_pylist()]
    assert list(found) == expected


def test_the_same_inputs_give_the_same_bytes(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shared, copy)
    monkeypatch.chdir(copy)
    write()
    assert tree(copy / paths.DATASET) == tree(shared / paths.DATASET)


def test_examples_are_read_and_written_a_few_windows_at_a_time(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shared, copy)
    monkeypatch.chdir(copy)
    monkeypatch.setattr(tables, "WINDOWS", 4)
    write()
    path = paths.DATASET / "examples" / "one.parquet"
    meta = pq.read_metadata(path)
    assert [meta.row_group(place).num_rows for place in range(meta.num_row_groups)] == [4, 4, 4, 2]
    assert pq.read_table(path).equals(pq.read_table(shared / path))


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_an_output_that_is_not_there_is_named(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shared, copy)
    monkeypatch.chdir(copy)
    path = paths.scores("one", "llm", "detection") / "verdicts.parquet"
    path.unlink()
    if damage == "damaged":
        path.write_bytes(b"PAR1")
    with pytest.raises(GlossaError, match=rf"expected .* table .*{path}.* run dvc repro"):
        write()
    assert not list(Path("results").glob(".dataset*"))
