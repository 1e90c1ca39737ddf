from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from stages import paths
from stages.cli import main
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from tests.folders import tree
from tests.test_tokenize import edit


@pytest.fixture
def cached(workplace: Path, finished_workplace: Path) -> Path:
    """The working folder after tokenize and cache."""
    for name in ("tokens", "latents"):
        shutil.copytree(finished_workplace / "data" / name, workplace / "data" / name)
    return workplace


def sample(coder: str = "one") -> Result:
    return CliRunner().invoke(main, ["sample", coder])


def test_the_facts_beside_the_tables(at_finished: Path) -> None:
    examples = Examples.open(paths.examples("one"))
    store = LatentStore.open(paths.latents("one"))
    meta = examples.meta
    assert meta["chosen"] == len(examples.latents) == meta["n_latents"] == 24
    assert meta["kept"] == 24 - sum(meta["dropped"].values())
    assert meta["dead"] == (store.statistic("count") == 0).sum()
    assert meta["n_events"] == store.meta["n_events"]
    assert {key: meta[key] for key in ("coder", "subject", "hookpoint", "tokens_sha256")} == {
        key: store.meta[key] for key in ("coder", "subject", "hookpoint", "tokens_sha256")
    }


def test_a_second_time_the_bytes_are_the_same(cached: Path, finished_workplace: Path) -> None:
    for _ in range(2):
        assert sample().exit_code == 0
        assert tree(cached / "data/examples/one") == tree(finished_workplace / "data/examples/one")


def test_what_was_dropped_is_said(cached: Path) -> None:
    counts = sorted(LatentStore.open(paths.latents("one")).statistic("count").tolist())
    edit(cached / "params.yaml", "min_activations: 5", f"min_activations: {counts[12] + 1}")
    n = sum(0 < count <= counts[12] for count in counts)
    result = sample()
    assert result.exit_code == 0
    assert f"; {n} fires on fewer tokens than sampling.min_activations" in result.output
    assert Examples.open(paths.examples("one")).meta["kept"] == sum(count > counts[12] for count in counts)


def test_what_there_is_less_of_than_was_asked_for_is_said(cached: Path) -> None:
    edit(cached / "params.yaml", "{random: 10}", "{random: 1000}")
    result = sample()
    fewer = Examples.open(paths.examples("one")).meta["fewer"]
    assert fewer["random"] == 24 - sum(Examples.open(paths.examples("one")).meta["dropped"].values())
    assert f"\n  {fewer['random']} of them have fewer random windows than were asked for\n" in result.output


def test_centred_windows_inside_documents_with_a_validation_split(cached: Path) -> None:
    options = "window: 8\n  centre: 5\n  across_documents: false\n  validation: {n: 2, negatives: {random: 3}}"
    edit(cached / "params.yaml", "window: 8", options)
    edit(cached / "params.yaml", "n: 6}", "n: 6, negatives: {surface: 2}}")
    assert sample().exit_code == 0
    examples = Examples.open(paths.examples("one"))
    assert 0 < examples.meta["windows_across_documents"] < examples.meta["windows"]
    tokens = Tokens.open()
    special = tokens.vocabulary.special[tokens.matrix.reshape(-1)]
    starts = tokens.documents["start"].to_numpy()
    columns, kinds = [], set()
    for latent in examples:
        assert len(latent.validation) == latent.facts["n_validation"]
        for windows in (latent.train, latent.validation, latent.test, latent.negative, latent.train_negative):
            for start in windows.starts.tolist():
                inside = np.arange(start, start + 8)
                texts = np.searchsorted(starts, inside[~special[inside]], side="right")
                assert len(set(texts.tolist())) <= 1
        columns += latent.test.activations.argmax(axis=1).tolist()
        kinds |= {*latent.validation_negative.kinds, *latent.train_negative.kinds}
    assert columns.count(5) > len(columns) / 2
    assert kinds == {"random", "surface"}


@pytest.mark.parametrize(
    ("latents", "chosen"), [("[3, 5, 8]", {3, 5, 8}), ("{first: 4}", {0, 1, 2, 3}), ("{random: 100}", set(range(24)))]
)
def test_the_latents_that_were_asked_for(cached: Path, latents: str, chosen: set[int]) -> None:
    edit(cached / "params.yaml", "latents: all", f"latents: {latents}")
    assert sample().exit_code == 0
    assert set(Examples.open(paths.examples("one")).latents["latent"].to_pylist()) == chosen


def test_mistakes_are_one_line(cached: Path) -> None:
    assert sample("three").output == "Error: params.yaml has no coder three; known are one, two\n"
    paths.latents("one").rename(paths.latents("three"))
    assert sample().output == (
        "Error: expected a store of activations at data/latents/one.zarr, but there is none; run dvc repro\n"
    )
    paths.latents("three").rename(paths.latents("one"))
    edit(cached / "params.yaml", "latents: all", "latents: [24]")
    result = sample()
    expected = "Error: params.yaml: sampling.latents lists 24, but the coder one has latents 0 to 23; drop it\n"
    assert (result.exit_code, result.output) == (1, expected)
    assert not paths.examples("one").exists()
