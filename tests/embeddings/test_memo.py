import sqlite3
from pathlib import Path

import numpy as np
import pytest

from stages.embeddings.embedder import Embedder, load
from stages.embeddings.memo import NAME, embed
from stages.errors import GlossaError
from stages.machine import runtime

TEXTS = ["the cat", "a dog", "ends with the number of the word", "verb", ""]


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Embedder:
    return load(str(model_folder), "cpu")


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were embedded since the test began."""
    found: list[str] = []
    stream = Embedder.stream

    def spy(self: Embedder, texts: list[str]):
        for batch, vectors in stream(self, texts):
            found.extend(batch)
            yield batch, vectors

    monkeypatch.setattr(Embedder, "stream", spy)
    return found


def test_a_text_is_embedded_once_and_for_all(model: Embedder, embedded: list[str]) -> None:
    first = embed(model, TEXTS)
    assert sorted(embedded) == sorted(TEXTS)
    np.testing.assert_array_equal([first[text] for text in TEXTS], model.encode(TEXTS))
    embedded.clear()
    again = embed(model, [*TEXTS, "a cat"])
    assert embedded == ["a cat"]
    for text in TEXTS:
        assert again[text].tobytes() == first[text].tobytes()


def test_remembered_texts_need_no_model(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = embed(load(str(model_folder), "cpu"), TEXTS)
    monkeypatch.setattr("stages.embeddings.embedder._open", lambda *_: pytest.fail("nothing is to be loaded"))
    again = embed(load(str(model_folder), "cpu"), TEXTS)
    assert {text: vector.tobytes() for text, vector in again.items()} == {
        text: vector.tobytes() for text, vector in first.items()
    }


def test_a_vector_does_not_depend_on_what_was_remembered(model: Embedder, embedded: list[str]) -> None:
    texts = ["the cat", "a dog", "a cat", "the dog", "cat the", "dog verb"]  # all of one length
    embed(model, texts[:2])
    found = embed(model, texts)
    assert embedded == [*sorted(texts[:2]), *sorted(texts[2:])]
    assert np.array([found[text] for text in texts]).tobytes() == model.encode(texts).tobytes()


def test_what_is_known_from_elsewhere_is_neither_embedded_nor_looked_up(model: Embedder, embedded: list[str]) -> None:
    known = {"the cat": np.ones(16, np.float32)}
    found = embed(model, ["the cat", "a dog"], known)
    assert embedded == ["a dog"]
    assert found["the cat"] is known["the cat"]
    embed(model, ["the cat"], known)
    assert embedded == ["a dog"]


def test_another_prompt_is_another_vector(model: Embedder, embedded: list[str]) -> None:
    plain = embed(model, ["the cat"])["the cat"]
    prompted = embed(model.prompted("a dog "), ["the cat"])["the cat"]
    assert embedded == ["the cat", "the cat"]
    np.testing.assert_allclose(prompted, model.encode(["a dog the cat"])[0], atol=1e-6)
    assert np.abs(prompted - plain).max() > 0.01


def test_what_was_embedded_before_a_crash_is_kept(
    model: Embedder, embedded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Embedder.stream

    def dies(self: Embedder, texts: list[str]):
        stream = spy(self, texts)
        yield next(stream)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Embedder, "stream", dies)
        with pytest.raises(KeyboardInterrupt):
            embed(model, TEXTS)
    done = len(embedded)
    assert 0 < done < len(TEXTS)
    embed(model, TEXTS)
    assert sorted(embedded) == sorted(TEXTS)


def test_more_texts_than_sqlite_takes_variables(model: Embedder, embedded: list[str]) -> None:
    texts = [f"cat {i}" for i in range(1200)]
    embed(model, texts)
    embedded.clear()
    assert embed(model, texts).keys() == set(texts)
    assert embedded == []


def test_no_text_opens_nothing(model: Embedder) -> None:
    assert embed(model, []) == {}
    assert not (runtime.home() / NAME).exists()


def test_a_damaged_file_is_one_sentence(model: Embedder) -> None:
    runtime.home().mkdir(parents=True)
    (runtime.home() / NAME).write_text("this is no database, but long enough to be taken for one" * 100)
    with pytest.raises(GlossaError, match=r"should be kept in .*embeddings.sqlite, but it can't be used .*; delete it"):
        embed(model, ["the cat"])


def test_the_vectors_are_plain_numbers(model: Embedder) -> None:
    found = embed(model, ["the cat"])["the cat"]
    with sqlite3.connect(runtime.home() / NAME) as database:
        ((key, vector),) = database.execute("SELECT key, vector FROM vectors").fetchall()
    database.close()
    assert len(key) == 32
    assert np.frombuffer(vector, "<f4").tolist() == found.tolist()
