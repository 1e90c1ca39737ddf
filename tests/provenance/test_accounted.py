"""The table of latents against the windows that are there, of kinds of negatives that this installation knows and of others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from stages import outputs, paths
from stages.examples import by_kind
from stages.provenance import accounted
from stages.provenance.check import Check
from stages.provenance.project import Project

Numbers = dict[str, int]


@pytest.fixture
def sampled(finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder in which tokenize, cache and sample have run, with one coder."""
    shutil.copytree(finished_workplace, tmp_path / "here", ignore=shutil.ignore_patterns("two", "latents", "home"))
    monkeypatch.chdir(tmp_path / "here")
    text = Path("params.yaml").read_text().replace("  two: {path: coders/two, hookpoint: layers.1}\n", "")
    Path("params.yaml").write_text(text)
    return paths.examples("one")


def check() -> Check:
    (found,) = accounted.checks(Project.here())
    return found


def change(sampled: Path, numbers: Callable[[int, Numbers], Numbers]) -> None:
    """Has the table of latents say other numbers of negatives; the function is given the latent's place."""
    table = outputs.read_table(sampled / "latents.parquet")
    told = [list(numbers(place, dict(one)).items()) for place, one in enumerate(table["n_negatives"].to_pylist())]
    column = table.column_names.index("n_negatives")
    changed = table.set_column(column, "n_negatives", pa.array(told, by_kind.TYPE))
    outputs.write_table(sampled / "latents.parquet", changed)


def test_counts_that_agree_pass(sampled: Path) -> None:
    found = check()
    assert not found.failures
    assert found.checked > 4 * 20


def test_negatives_that_are_counted_wrongly_are_named(sampled: Path) -> None:
    change(sampled, lambda place, n: n | {"random": n["random"] + (place == 3)})
    (failure,) = check().failures
    assert "latent 3" in str(failure)
    assert "has another number of windows than n_negatives of the kind random says" in str(failure)


def test_a_kind_that_is_counted_and_not_there_or_there_and_not_counted_is_named(sampled: Path) -> None:
    change(sampled, lambda place, n: {"later": int(place < 2)})
    told = [str(failure) for failure in check().failures]
    assert sum("of the kind later" in one for one in told) == 2
    assert sum("of the kind random" in one for one in told) > 10


def test_a_kind_unknown_here_is_counted_as_any(sampled: Path) -> None:
    change(sampled, lambda place, n: {"later": n["random"]})
    windows = outputs.read_table(sampled / "windows.parquet")
    kinds = pa.array([kind and "later" for kind in windows["kind"].to_pylist()], pa.string())
    outputs.write_table(
        sampled / "windows.parquet", windows.set_column(windows.column_names.index("kind"), "kind", kinds)
    )
    assert not check().failures
