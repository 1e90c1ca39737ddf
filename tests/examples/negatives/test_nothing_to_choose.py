"""A corpus without a usable window, or with hardly any: no kind of negatives finds more than there is, and none stumbles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import params
from stages.registry import NEGATIVES
from tests.examples.made import VOCABULARY, World, fake_embedder, tokens_of

WINDOW, LENGTH = 8, 24
NEVER = "never fires"


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.embeddings.embedder.load", lambda name, device: fake_embedder())


def corpus(rows: int, lengths: list[int], seed: int) -> World:
    """Documents of these lengths, in turn, without special tokens between, and three latents that fire here and there."""
    generator = np.random.default_rng(seed)
    matrix = generator.integers(1, VOCABULARY, (rows, LENGTH)).astype(np.int32)
    ends = np.cumsum(np.resize(lengths, matrix.size))
    starts = np.concatenate([[0], ends[ends < matrix.size]])
    dense = generator.random((3, matrix.size)) * (generator.random((3, matrix.size)) < 0.3)
    document = np.searchsorted(starts, np.arange(matrix.size), side="right") - 1
    return World(dense.astype(np.float32), tokens_of(matrix, starts), document)


def asking(centre: int | None = None, **negatives: int) -> params.Sampling:
    values = {"latents": "all", "min_activations": 1, "window": WINDOW, "centre": centre, "across_documents": False}
    parts = {"train": {"n": 2}, "validation": {"n": 2}, "test": {"per_decile": 1}}
    return params.Sampling.model_validate(
        values | {role: part | {"negatives": {"random": 0, **negatives}} for role, part in parts.items()}
    )


@given(
    st.integers(1, 6),
    st.lists(st.integers(1, WINDOW - 1), min_size=1, max_size=5),
    st.none() | st.integers(0, WINDOW - 1),
    st.integers(0, 99),
)
def test_where_every_document_is_shorter_than_a_window_there_is_nothing_and_this_is_counted(
    rows: int, lengths: list[int], centre: int | None, seed: int
) -> None:
    found, windows = corpus(rows, lengths, seed).sample(asking(centre, **dict.fromkeys(NEGATIVES, 3)))
    assert windows == []
    assert set(found.latents["dropped"].to_pylist()) <= {"never fires above 0 in a window that may be taken", NEVER}
    assert found.latents["n_negatives"].to_pylist() == [[(kind, 0) for kind in NEGATIVES]] * 3
    assert (found.facts["windows"], found.facts["windows_across_documents"]) == (0, 3 * rows)
    assert list(found.facts["negatives"]) == list(NEGATIVES)
    assert found.facts["negatives"]["semantic"]["windows_embedded"] == 0
    assert found.facts["fewer"] == {}


@pytest.mark.parametrize("kind", NEGATIVES)
def test_one_kind_alone_finds_nothing_there(kind: str) -> None:
    found, windows = corpus(4, [5], 0).sample(asking(**{kind: 2}))
    assert windows == []
    assert found.latents["n_negatives"].to_pylist() == [[(kind, 0)]] * 3


@given(st.integers(0, 99), st.sampled_from([2, 6, 9]))
def test_where_there_are_few_silent_windows_no_kind_finds_more(seed: int, n_firing: int) -> None:
    """Three rows are a document each; behind them all documents are short."""
    here = corpus(6, [LENGTH, LENGTH, LENGTH, *[5] * 15], seed)
    starts = np.arange(0, 3 * LENGTH, WINDOW)
    fires = np.random.default_rng(seed).choice(starts, n_firing, replace=False)
    here.dense[:, : 3 * LENGTH] = 0
    here.dense[0, fires] = 1
    found, windows = here.sample(asking(**dict.fromkeys(NEGATIVES, 3)))
    silent = [row["start"] for row in windows if row["latent"] == 0 and row["kind"]]
    assert len(silent) == len(set(silent))
    assert {*silent} <= {*starts.tolist()} - {*fires.tolist()}
    numbers = dict(found.latents["n_negatives"][0].as_py())
    assert numbers["random"] == min(3, len(starts) - n_firing)
    assert (found.facts["fewer"].get("random", 0) > 0) == (numbers["random"] < 3)
