from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings

from stages import params, plan
from stages.corpus import tokens as writing
from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import GlossaError
from stages.examples import batches
from stages.examples.negatives import semantic
from stages.examples.sample import sample
from stages.latents import spec
from stages.latents.merge import merge
from stages.latents.store import LatentStore
from stages.registry import NEGATIVES
from tests.examples.made import World, fake_embedder, samplings, world, worlds
from tests.latents.events import dense_of, write_run

ROWS, LENGTH, WINDOW = 40, 32, 8
POSITIONS = ROWS * LENGTH
ROLES = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.embeddings.embedder.load", lambda name, device: fake_embedder())


def sampling(latents: object = "all", min_activations: int = 5, **options: Any) -> params.Sampling:
    values = {
        "latents": latents,
        "min_activations": min_activations,
        "window": WINDOW,
        "train": {"strategy": "quantile", "n": 6},
        "test": {"per_decile": 1, "negatives": {"random": 10}},
    }
    return params.Sampling.model_validate(values | options)


@settings(max_examples=100)
@given(worlds, samplings)
def test_what_is_true_of_every_sample(world: World, options: params.Sampling) -> None:
    """Disjoint in tokens, inside a row and, unless asked for, a document; the truth about where the latent fires, on text."""
    found, rows = world.sample(options)
    length, window = world.tokens.context_length, options.window
    facts = {row["latent"]: row for row in found.latents.to_pylist(maps_as_pydicts="strict")}
    skipped = int(world.tokens.meta["bos"] is None) if options.skip_first == "auto" else options.skip_first
    assert found.facts.get("skip_first", 0) == skipped
    text = np.where(np.arange(world.dense.shape[1]) % length >= skipped, world.dense, 0)
    ordinary = (world.tokens.matrix.reshape(-1) > 0) & (np.arange(world.dense.shape[1]) % length >= skipped)
    for latent, row in facts.items():
        live = text[latent][text[latent] != 0].astype(np.float64)
        assert row["count"] == len(live)
        assert row["density"] == pytest.approx(len(live) / max(1, ordinary.sum()))
        assert row["max"] == (live.max() if len(live) and skipped else text[latent].max())
        assert row["mean"] == pytest.approx(live.mean() if len(live) else 0)
    taken = np.zeros(world.dense.shape, bool)
    for row in rows:
        latent, start = row["latent"], row["start"]
        inside = slice(start, start + window)
        values = text[latent, inside]
        assert facts[latent]["dropped"] is None
        assert start // length == (start + window - 1) // length
        if options.centre is None or row["kind"]:
            assert start % window == 0
        if not options.across_documents:
            assert len(set(world.document[inside].tolist()) - {-1}) <= 1
        assert not taken[latent, inside].any()
        taken[latent, inside] = True
        assert row["max"] == max(0, values.max())
        if row["kind"] is None:
            assert row["activations"] == values.tolist()
            assert 1 <= row["decile"] <= 10
            assert row["max"] > 0
        else:
            assert not world.dense[latent, inside].any(), "where it fires on what is no text it is not silent"
            assert start % length + window > skipped
            assert (row["activations"], row["decile"]) == (None, 0)
    keys = [(r["latent"], ROLES.index(r["role"]), [None, *NEGATIVES].index(r["kind"]), r["decile"]) for r in rows]
    assert keys == sorted(keys)
    for latent, row in facts.items():
        own = [r for r in rows if r["latent"] == latent]
        for role in ROLES:
            assert row[f"n_{role}"] == sum(r["role"] == role and r["kind"] is None for r in own)
            asked = getattr(options, role).negatives
            for kind in NEGATIVES:
                assert sum(r["role"] == role and r["kind"] == kind for r in own) <= asked.get(kind, 0)
        assert row["n_negatives"] == {
            kind: sum(r["role"] == "test" and r["kind"] == kind for r in own) for kind in options.test.negatives
        }
        if row["dropped"] is None:
            assert row["n_train"] >= 1
            assert row["n_test"] >= 1
        else:
            assert not own
    fewer = {
        "train": options.train.n,
        "validation": options.validation.n,
        "test": 10 * options.test.per_decile,
    }
    kept = [row for row in facts.values() if row["dropped"] is None]
    counts = {name: sum(row[f"n_{name}"] < n for row in kept) for name, n in fewer.items()}
    counts |= {kind: sum(row["n_negatives"][kind] < n for row in kept) for kind, n in options.test.negatives.items()}
    assert list(found.facts["negatives"]) == plan.kinds_of_negatives(options)
    assert found.facts["fewer"] == {name: n for name, n in counts.items() if n}
    assert sum(found.dropped.values()) == len(facts) - len(kept)


@settings(max_examples=60)
@given(worlds, samplings)
def test_a_latent_s_sample_does_not_depend_on_the_others_nor_on_how_many_are_read_at_once(
    world: World, options: params.Sampling
) -> None:
    found, rows = world.sample(options)
    with (
        mock.patch.multiple(batches, EVENTS=7, LATENTS=2),
        mock.patch.object(semantic, "LATENTS", 1),
    ):
        again, others = world.sample(options)
    assert others == rows
    assert again.latents == found.latents
    latent = len(world.dense) - 1
    alone = params.Choice(how="list", latents=(latent,))
    some, few = world.sample(options.model_copy(update={"latents": alone}))
    assert few == [row for row in rows if row["latent"] == latent]
    assert some.latents.to_pylist() == [row for row in found.latents.to_pylist() if row["latent"] == latent]


@settings(max_examples=40)
@given(worlds, samplings)
def test_the_test_does_not_depend_on_the_negatives_of_other_roles(world: World, options: params.Sampling) -> None:
    bare = options.model_copy(
        update={
            "train": options.train.model_copy(update={"negatives": {}}),
            "validation": options.validation.model_copy(update={"negatives": {}}),
            "test": options.test.model_copy(update={"negatives": {"random": 4}}),
        }
    )
    random = options.model_copy(
        update={"test": options.test.model_copy(update={"negatives": {"random": 4, "surface": 3}})}
    )
    expected, got = ([r for r in world.sample(o)[1] if r["role"] == "test"] for o in (bare, random))
    assert [r for r in got if r["kind"] != "surface"] == expected


def test_seed_and_coder_decide_the_sample() -> None:
    here = world(4, 12, 24, 0.3, signed=False, seed=1)
    options = sampling()
    one, again, other = (here.sample(options, seed)[1] for seed in (0, 0, 1))
    assert one == again != other


def test_random_negatives_are_all_when_there_are_few_silent_windows() -> None:
    here = world(1, 4, 8, 0.3, signed=False, seed=0)
    dense = np.zeros((1, 32), np.float32)
    dense[0, [1, 9, 17]] = 1
    _, rows = replace(here, dense=dense).sample(sampling(min_activations=1))
    assert [row["start"] for row in rows if row["kind"] == "random"] == [24]


DEGENERATE = {
    "fires once": ([5], "fires in a single window"),
    "in one window only": ([8, 9, 10, 11], "fires in a single window"),
    "never": ([], "never fires"),
    "in two windows": ([8, 30], None),
    "all windows in one document": (list(range(24, 48)), None),
    "everywhere": ([p for p in range(240) if p % 24], None),
}


@pytest.mark.parametrize("centre", [None, 3])
@pytest.mark.parametrize(("positions", "reason"), DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_latents_give_windows_or_a_reason(
    positions: list[int], reason: str | None, centre: int | None
) -> None:
    here = world(1, 10, 24, 0.3, signed=False, seed=0)
    dense = np.zeros((1, 240), np.float32)
    dense[0, positions] = 1
    dense[0, here.tokens.matrix.reshape(-1) == 0] = 0
    everything = dict.fromkeys(NEGATIVES, 4)
    options = sampling(min_activations=1, centre=centre, test={"per_decile": 1, "negatives": everything})
    found, rows = replace(here, dense=dense).sample(options)
    (row,) = found.latents.to_pylist()
    assert row["dropped"] == reason
    assert bool(rows) == (reason is None)
    if positions[:1] == [1]:  # everywhere
        assert {r["kind"] for r in rows} == {None}
        assert found.facts["fewer"].keys() >= set(NEGATIVES)


def test_negative_activations_neither_fire_nor_are_silent() -> None:
    here = world(1, 10, 24, 0.3, signed=False, seed=0)
    dense = np.zeros((2, 240), np.float32)
    dense[:, 1:200] = -1
    dense[0, [50, 100, 150]] = [1, 2, 3]
    found, rows = replace(here, dense=dense).sample(sampling(min_activations=1, test={"negatives": {"random": 99}}))
    assert found.latents["dropped"].to_pylist() == [None, "never fires above 0 in a window that may be taken"]
    assert {r["start"] for r in rows if not r["kind"]} == {48, 96, 144}
    assert {r["start"] for r in rows if r["kind"]} == {200, 208, 216, 224, 232}
    assert min(min(r["activations"]) for r in rows if not r["kind"]) == -1
    assert found.latents["n_windows"].to_pylist() == [3, 0]


# From here on with a corpus and a store on disk.


def make_dense() -> np.ndarray:
    """Latent 0 never fires, 1 fires 3 times, 2 in a single window, the rest at random, the last everywhere."""
    dense = dense_of(9, POSITIONS, 0.08, 0)
    dense[1:3] = 0
    dense[1, [5, 100, 900]] = 1
    dense[2, 64:72] = 2
    return dense


DENSE = DENSE_OF = make_dense()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    matrix = np.random.default_rng(0).integers(1, 50, (ROWS, LENGTH)).astype(np.int32)
    vocabulary = Vocabulary([b"x"] * 50, np.zeros(50, np.int64), np.zeros(50, bool))
    folder = tmp_path_factory.mktemp("tokens")
    documents = pa.table({"name": pa.array([], pa.string())})
    writing.write(folder / "tokens", matrix, documents, vocabulary, {"special_positions": 80, "bos": 0})
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


def test_facts_of_every_latent(store: LatentStore, tokens: Tokens) -> None:
    found = sample(store, tokens, sampling(), 0, "one", lambda part: None)
    rows = found.latents.to_pylist()
    assert [row["latent"] for row in rows] == list(range(9))
    few = "fires on fewer tokens than sampling.min_activations"
    assert [row["dropped"] for row in rows] == ["never fires", few, "fires in a single window", *[None] * 6]
    assert found.dropped == {"never fires": 1, few: 1, "fires in a single window": 1}
    assert found.facts["windows"] == POSITIONS // WINDOW
    for latent, row in enumerate(rows):
        live = DENSE[latent][DENSE[latent] != 0].astype(np.float64)
        assert row["count"] == len(live)
        assert row["density"] == pytest.approx(len(live) / (POSITIONS - 80))
        assert row["max"] == (live.max() if len(live) else 0)
        assert row["mean"] == pytest.approx(live.mean() if len(live) else 0)
        assert sum(row["histogram"]) == len(live)
        assert row["top_tokens"] == [2 * latent, 2 * latent + 1]
        assert row["top_values"] == [2.0 * latent, 2.0 * latent + 1]
        n = int(np.any(DENSE[latent].reshape(-1, WINDOW) != 0, axis=1).sum())
        assert row["n_windows"] == (n if latent > 1 else 0)
    assert [row["n_train"] + row["n_test"] for row in rows] == [0, 0, 0, *[16] * 6]
    assert [row["n_negatives"] for row in rows] == [[("random", n)] for n in (0, 0, 0, 10, 10, 10, 10, 10, 0)]


def test_first_columns_that_are_no_text_count_nowhere(
    tmp_path: Path, store: LatentStore, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All is as if the latents were silent there, but that they are not silent."""
    bare = DENSE.copy()
    bare[:, np.arange(POSITIONS) % LENGTH < 2] = 0
    silent: list[pa.Table] = []
    loud: list[pa.Table] = []
    found = sample(store, tokens, sampling(skip_first=2), 0, "one", loud.append)
    monkeypatch.setattr("tests.examples.test_sample.DENSE", bare)
    expected = sample(write_store(tmp_path, tokens.sha256), tokens, sampling(), 0, "one", silent.append)
    same = ["latent", "dropped", "count", "max", "mean", "histogram", "n_windows", "n_train", "n_test"]
    assert found.latents.select(same).to_pylist() == expected.latents.select(same).to_pylist()
    ratio = found.latents["density"].to_numpy() / np.maximum(expected.latents["density"].to_numpy(), 1e-9)
    assert ratio[2:] == pytest.approx((POSITIONS - 80) / (POSITIONS - 80 - 2 * ROWS))
    fires = [pa.concat_tables(parts).filter(pc.is_null(pc.field("kind"))) for parts in (loud, silent)]
    assert fires[0].equals(fires[1])
    negatives = pa.concat_tables(loud).filter(pc.is_valid(pc.field("kind"))).to_pylist()
    assert negatives
    assert not any(DENSE_OF[row["latent"], row["start"] : row["start"] + WINDOW].any() for row in negatives)
    assert (found.facts["skip_first"], "skip_first" in expected.facts) == (2, False)


def test_a_latent_of_first_columns_alone_never_fires() -> None:
    here = world(1, 10, 24, 0.3, signed=False, seed=0, has_bos=False)
    dense = np.zeros((1, 240), np.float32)
    dense[0, ::24] = 100
    found, rows = replace(here, dense=dense).sample(sampling(min_activations=1))
    assert found.latents.select(["dropped", "count", "max"]).to_pylist() == [
        {"dropped": "never fires", "count": 0, "max": 0}
    ]
    assert rows == []
    kept, rows = replace(here, dense=dense).sample(sampling(min_activations=1, skip_first=0))
    assert kept.latents["count"].to_pylist() == [10]
    assert {row["max"] for row in rows if row["kind"] is None} == {100}


def test_nothing_kept_is_no_window(store: LatentStore, tokens: Tokens) -> None:
    parts: list[pa.Table] = []
    found = sample(store, tokens, sampling([0]), 0, "one", parts.append)
    assert (len(found.latents), parts, found.dropped) == (1, [], {"never fires": 1})


def test_what_a_latent_promotes_may_be_undefined(tmp_path: Path, tokens: Tokens) -> None:
    other = write_store(tmp_path, tokens.sha256, with_output=False)
    found = sample(other, tokens, sampling([5]), 0, "one", lambda part: None)
    assert found.latents["top_tokens"].to_pylist() == [None]


def test_activations_of_other_tokens_are_a_mistake(tmp_path: Path, tokens: Tokens) -> None:
    with pytest.raises(GlossaError, match=r"were made from other tokens than .*; run dvc repro"):
        sample(write_store(tmp_path, "0" * 64), tokens, sampling(), 0, "one", lambda part: None)
