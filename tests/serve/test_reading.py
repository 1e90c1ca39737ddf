from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from stages import params, paths
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.latents import spec
from stages.latents.store import LatentStore
from stages.serve.reading import Reader, Reading
from stages.serve.text import Row


@pytest.fixture
def reader(at_finished: Path) -> Reader:
    return Reader(params.load())


def dense(reading: Reading, n_latents: int) -> np.ndarray:
    shape = (n_latents, len(reading.row.ids))
    return sparse.coo_array((reading.values, (reading.latents, reading.places)), shape=shape).toarray()


@pytest.mark.parametrize("coder", ["one", "two"])
def test_every_row_reads_as_the_store_has_it(reader: Reader, coder: str) -> None:
    tokens = Tokens.open()
    stored = LatentStore.open(paths.latents(coder)).csr()
    length, special = tokens.context_length, tokens.vocabulary.special
    for number in range(0, tokens.rows, 7):
        ids = tokens.matrix[number].astype(np.int64)
        reading = reader.read_row(coder, Row(ids, ~special[ids], [], 0))
        due = stored[:, number * length : (number + 1) * length].toarray()
        found = dense(reading, stored.shape[0])
        assert ((found != 0) == (due != 0)).all()
        np.testing.assert_allclose(found, due, rtol=2e-5)
        assert (np.diff(reading.places) >= 0).all()
    assert (due != 0).sum() > 100


def test_a_document_reads_as_it_did_in_the_corpus(reader: Reader) -> None:
    tokens = Tokens.open()
    text = (Path("texts") / tokens.documents["name"][0].as_py()).read_text()
    reading = reader.read("one", text)
    due = LatentStore.open(paths.latents("one")).csr()[:, : tokens.context_length].toarray()
    np.testing.assert_allclose(dense(reading, len(due)), due, rtol=2e-5)
    # What comes later can't change what came before.
    short = reader.read("one", text[:40])
    n = int((short.row.ids == reading.row.ids[: len(short.row.ids)]).argmin()) or len(short.row.ids)
    np.testing.assert_allclose(dense(short, len(due))[:, :n], due[:, :n], rtol=2e-5)
    assert n > 5


def test_values_keep_the_bits_that_the_store_keeps(at_finished: Path) -> None:
    p = params.load()
    exact = Reader(p).read("one", "The quick brown fox")
    rough = p.model_copy(update={"cache": p.cache.model_copy(update={"precision": "bf16"})})
    found = Reader(rough).read("one", "The quick brown fox")
    assert (found.values == spec.round_mantissa(exact.values, 7)).all()
    assert (found.values != exact.values).any()


def test_neurons_have_a_sign(at_finished: Path) -> None:
    p = params.load()
    neurons = params.parse(params.Neurons, {"kind": "neurons", "hookpoint": "layers.0.mlp", "k": 32}, "coders.top")
    reading = Reader(p.model_copy(update={"coders": {"top": neurons}})).read("top", "Is it raining?")
    assert reading.values.min() < 0 < reading.values.max()


def test_the_subject_and_the_coders_are_loaded_once(reader: Reader) -> None:
    assert reader.opened("one") is reader.opened("one")
    assert reader.opened("one").subject is reader.opened("two").subject
    assert reader.opened("one").coder.W_dec is None


def test_mistakes_are_one_sentence(reader: Reader, at_finished: Path) -> None:
    with pytest.raises(GlossaError, match=r"^params.yaml has no coder ono; did you mean one\?$"):
        reader.read("ono", "text")
    p = params.load()
    wide = params.parse(params.Neurons, {"kind": "neurons", "hookpoint": "layers.0.mlp", "k": 99}, "coders.top")
    with pytest.raises(GlossaError, match="k should be at most 32"):
        Reader(p.model_copy(update={"coders": {"top": wide}})).read("top", "text")
    elsewhere = p.coders["one"].model_copy(update={"hookpoint": "layers.0.mlp.down_proj.input"})
    with pytest.raises(GlossaError, match=r"the coder one in .* reads 16 values a token, but .* gives 32; correct"):
        Reader(p.model_copy(update={"coders": {"one": elsewhere}})).read("one", "text")
