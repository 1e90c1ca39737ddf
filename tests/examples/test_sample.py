from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages import params
from stages.corpus import tokens as writing
from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import GlossaError
from stages.examples.sample import Sampled, sample
from stages.latents import spec
from stages.latents.merge import merge
from stages.latents.store import LatentStore
from tests.latents.events import dense_of, write_run

ROWS, LENGTH, WINDOW = 40, 32, 8
POSITIONS = ROWS * LENGTH


def make_dense() -> np.ndarray:
    """Latent 0 never fires, 1 fires 3 times, 2 in a single window, the rest at random, the last everywhere."""
    dense = dense_of(9, POSITIONS, 0.08, 0)
    dense[1:3] = 0
    dense[1, [5, 100, 900]] = 1
    dense[2, 64:72] = 2
    return dense


DENSE = make_dense()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    matrix = np.random.default_rng(0).integers(1, 50, (ROWS, LENGTH)).astype(np.int32)
    vocabulary = Vocabulary([b"x"] * 50, np.zeros(50, np.int64), np.zeros(50, bool))
    folder = tmp_path_factory.mktemp("tokens")
    documents = pa.table({"name": pa.array([], pa.string())})
    writing.write(folder / "tokens", matrix, documents, vocabulary, {"special_positions": 80})
    return Tokens.open(folder / "tokens")


def write_store(folder: Path, tokens_sha256: str, with_output: bool = True) -> LatentStore:
    run = write_run(folder / "runs", DENSE, 0, ROWS, LENGTH)
    attributes = {"schema": spec.SCHEMA, "version": spec.VERSION, "tokens_sha256": tokens_sha256}
    numbers = np.arange(18, dtype=np.float32).reshape(9, 2)
    names = ("top_tokens", "top_values", "bottom_tokens", "bottom_values")
    output = {name: numbers.astype(np.int32) if "tokens" in name else numbers for name in names} if with_output else {}
    merge([run], folder / "store.zarr", ROWS, LENGTH, attributes, output)
    return LatentStore.open(folder / "store.zarr")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tokens: Tokens) -> LatentStore:
    return write_store(tmp_path_factory.mktemp("store"), tokens.sha256)


def sampling(latents: object = "all", min_activations: int = 5, n: int = 6, negatives: int = 10) -> params.Sampling:
    values = {
        "latents": latents,
        "min_activations": min_activations,
        "window": WINDOW,
        "train": {"strategy": "quantile", "n": n},
        "test": {"per_decile": 1, "negatives": {"random": negatives}},
    }
    return params.Sampling.model_validate(values)


@pytest.fixture(scope="module")
def sampled(store: LatentStore, tokens: Tokens) -> Sampled:
    return sample(store, tokens, sampling(), 0, "one")


def test_latents_are_dropped_for_a_reason_that_is_counted(sampled: Sampled) -> None:
    few = "fires on fewer tokens than sampling.min_activations"
    assert sampled.dropped == {"never fires": 1, few: 1, "fires in a single window": 1}
    reasons = sampled.latents["dropped"].to_pylist()
    assert reasons == ["never fires", few, "fires in a single window", *[None] * 6]
    assert set(sampled.windows["latent"].to_pylist()) == set(range(3, 9))


def test_facts_of_every_latent(sampled: Sampled) -> None:
    rows = sampled.latents.to_pylist()
    assert [row["latent"] for row in rows] == list(range(9))
    for latent, row in enumerate(rows):
        live = DENSE[latent][DENSE[latent] != 0].astype(np.float64)
        assert row["count"] == len(live)
        assert row["density"] == pytest.approx(len(live) / (POSITIONS - 80))
        assert row["max"] == (live.max() if len(live) else 0)
        assert row["mean"] == pytest.approx(live.mean() if len(live) else 0)
        assert sum(row["histogram"]) == len(live)
        assert row["top_tokens"] == [2 * latent, 2 * latent + 1]
    for latent in range(3, 9):
        n = int(np.any(DENSE[latent].reshape(-1, WINDOW) != 0, axis=1).sum())
        part = [row for row in sampled.windows.to_pylist() if row["latent"] == latent]
        found = {role: sum(row["role"] == role for row in part) for role in ("train", "test", "negative")}
        row = rows[latent]
        assert (row["n_windows"], row["n_train"], row["n_test"], row["n_negative"]) == (n, *found.values())


def test_windows_hold_what_the_corpus_and_the_store_say(sampled: Sampled, tokens: Tokens) -> None:
    rows = sampled.windows.to_pylist()
    assert rows
    for row in rows:
        first = row["window"] * WINDOW
        assert row["row"] * LENGTH + row["start"] == first
        assert row["start"] % WINDOW == 0
        assert row["tokens"] == tokens.matrix.ravel()[first : first + WINDOW].tolist()
        assert row["activations"] == DENSE[row["latent"], first : first + WINDOW].tolist()
        assert row["max"] == max(row["activations"])
        assert (row["role"] == "negative") == (row["max"] == 0) == (row["decile"] == 0) == (row["kind"] == "random")


def test_windows_are_in_order_and_no_window_has_two_roles(sampled: Sampled) -> None:
    rows = sampled.windows.to_pylist()
    order = {"train": 0, "test": 1, "negative": 2}
    keys = [(row["latent"], order[row["role"]], row["decile"]) for row in rows]
    assert keys == sorted(keys)
    places = [(row["latent"], row["window"]) for row in rows]
    assert len(places) == len(set(places))


def test_a_latent_that_always_fires_has_no_negatives(sampled: Sampled) -> None:
    row = sampled.latents.to_pylist()[8]
    assert row["dropped"] is None
    assert row["n_negative"] == 0
    assert row["n_test"] == 10


def test_a_latent_s_windows_do_not_depend_on_which_others_are_sampled(
    sampled: Sampled, store: LatentStore, tokens: Tokens
) -> None:
    for latents in ([5], [0, 5, 8], {"first": 6}):
        other = sample(store, tokens, sampling(latents), 0, "one")
        for table in ("latents", "windows"):
            expected = [row for row in getattr(sampled, table).to_pylist() if row["latent"] == 5]
            assert [row for row in getattr(other, table).to_pylist() if row["latent"] == 5] == expected


def test_seed_and_coder_decide_the_sample(sampled: Sampled, store: LatentStore, tokens: Tokens) -> None:
    again, other_seed, other_coder = (
        sample(store, tokens, sampling(), seed, coder) for seed, coder in ((0, "one"), (1, "one"), (0, "two"))
    )
    assert again.windows == sampled.windows
    assert again.latents == sampled.latents
    assert other_seed.windows != sampled.windows != other_coder.windows


def test_nothing_kept_is_an_empty_table(store: LatentStore, tokens: Tokens) -> None:
    found = sample(store, tokens, sampling([0]), 0, "one")
    assert (len(found.latents), len(found.windows), found.dropped) == (1, 0, {"never fires": 1})
    assert found.windows.schema.names[0] == "latent"


def test_no_negatives_when_none_are_asked_for(store: LatentStore, tokens: Tokens) -> None:
    found = sample(store, tokens, sampling([5], negatives=0), 0, "one")
    assert set(found.windows["role"].to_pylist()) == {"train", "test"}


def test_what_a_latent_promotes_may_be_undefined(tmp_path: Path, tokens: Tokens) -> None:
    found = sample(write_store(tmp_path, tokens.sha256, with_output=False), tokens, sampling([5]), 0, "one")
    assert found.latents["top_tokens"].to_pylist() == [None]


def test_activations_of_other_tokens_are_a_mistake(tmp_path: Path, tokens: Tokens) -> None:
    with pytest.raises(GlossaError, match=r"were made from other tokens than .*; run dvc repro"):
        sample(write_store(tmp_path, "0" * 64), tokens, sampling(), 0, "one")
