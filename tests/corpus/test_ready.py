from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from stages.cli import main
from stages.corpus import ready
from stages.corpus.encode import Encoded, find_tokenizer, load_tokenizer
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.explainers import table
from stages.latents.store import LatentStore
from tests.hub_server import Hub

LENGTH = 8


@pytest.fixture
def without(subject_folder: Path, tmp_path: Path) -> Path:
    """A subject of 320 tokens that has no tokenizer."""
    folder = Path(shutil.copytree(subject_folder, tmp_path / "without"))
    for file in folder.iterdir():
        if file.name.startswith(("tokenizer", "special_tokens")):
            file.unlink()
    return folder


def run(folder: Path, array: Any, tmp_path: Path, n_tokens: int = 10_000, bos: str = "auto") -> Encoded:
    np.save(tmp_path / "x.npy", np.asarray(array))
    return ready.encode(tmp_path / "x.npy", "input_ids", str(folder), None, LENGTH, n_tokens, 0, bos)


def rows(n: int, length: int = LENGTH, low: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(low, 320, (n, length)).astype(np.int32)


def test_rows_as_long_as_those_wanted_stay_the_rows_they_are(without: Path, tmp_path: Path) -> None:
    given = rows(40)
    found = run(without, given, tmp_path)
    names = found.documents["name"].to_pylist()
    assert [f"x.npy:{n}" for n in range(40)] == sorted(names, key=lambda name: int(name.split(":")[1])) != names
    for row, name in zip(found.tokens, names, strict=True):
        assert row.tolist() == given[int(name.split(":")[1])].tolist()
    assert found.documents["start"].to_pylist() == list(range(0, 40 * LENGTH, LENGTH))
    assert found.documents["n_tokens"].to_pylist() == [LENGTH] * 40
    assert found.vocabulary.strings[7] == " <7>"
    assert found.vocabulary.counts.tolist() == np.bincount(given.ravel(), minlength=320).tolist()
    assert not found.vocabulary.special.any()
    assert (found.meta["bos"], found.meta["eos"], "tokenizer" in found.meta) == (None, None, False)
    assert found.summary.startswith("40 sequences, 40 rows of 8, 320 tokens (the corpus ended before")
    assert found.summary.endswith("has no tokenizer, so tokens are shown as their ids")


@pytest.mark.parametrize("bos", ["<0>", "auto"])
def test_rows_that_bring_bos_along_keep_it_in_front(
    without: Path, subject_folder: Path, tmp_path: Path, bos: str
) -> None:
    given = rows(40)
    given[:, 0] = 0
    found = run(without if bos == "<0>" else subject_folder, given, tmp_path, bos=bos if bos == "auto" else "<0>")
    assert (found.meta["bos"], found.meta["special_positions"]) == (0, 40)
    assert sorted(map(tuple, found.tokens)) == sorted(map(tuple, given))
    assert found.documents["start"].to_pylist() == list(range(1, 40 * LENGTH, LENGTH))
    assert found.vocabulary.strings[0] == ("<0>" if bos == "<0>" else "<|end|>")


def test_other_rows_are_laid_end_to_end_with_nothing_between(without: Path, tmp_path: Path) -> None:
    given = rows(30, length=5)
    found = run(without, given, tmp_path)
    order = [int(name.split(":")[1]) for name in found.documents["name"].to_pylist()]
    flat = given[order].ravel()
    assert found.tokens.ravel().tolist() == flat[: found.tokens.size].tolist()
    assert found.documents["start"].to_pylist() == list(range(0, 5 * len(order), 5))
    named = run(without, given, tmp_path, bos="<3>")
    assert (named.tokens[:, 0] == 3).all()


def test_one_long_sequence_is_cut(without: Path, tmp_path: Path) -> None:
    given = np.arange(100, dtype=np.uint16) % 320
    found = run(without, given, tmp_path, n_tokens=32)
    assert found.tokens.ravel().tolist() == list(range(32))
    assert found.documents.to_pylist() == [{"name": "x.npy", "start": 0, "n_tokens": 100}]


def test_where_there_is_a_tokenizer_tokens_are_spelt_by_it(subject_folder: Path, tmp_path: Path) -> None:
    tokenizer, _ = load_tokenizer(str(subject_folder), None)
    ids = tokenizer("The cats were running over the hill again and again. " * 20, add_special_tokens=False)["input_ids"]
    found = run(subject_folder, ids, tmp_path)
    assert found.vocabulary.text(found.tokens[0]) == tokenizer.decode(ids[:LENGTH])
    assert found.meta["tokenizer"]["size"] == 320
    assert np.flatnonzero(found.vocabulary.special).tolist() == [0]


def test_random_ids_of_bytes_are_no_reason_to_refuse_a_tokenizer(subject_folder: Path, tmp_path: Path) -> None:
    assert "joining" not in run(subject_folder, rows(80), tmp_path).meta["tokenizer"]


@pytest.mark.parametrize(
    ("array", "options", "said"),
    [
        ([[320] * 8], {}, "row 0 should hold ids of tokens from 0 to 319"),
        (np.empty((3, 0), int), {}, "holds no sequence with a single token"),
        (np.empty((0, 8), int), {}, "the corpus is empty"),
        (
            [[1, 2, 3]],
            {},
            "should fill at least one row of corpus.context_length 8, but its 1 sequence came to 3 tokens",
        ),
        (
            [[1] * 8],
            {"bos": "<320>"},
            "corpus.bos should be auto, none or, as .* has no tokenizer, the id of a token from <0> to <319>",
        ),
        ([[1] * 8], {"bos": "BOS"}, "has no tokenizer, .* found BOS"),
        ([[1] * 8], {"n_tokens": 5}, "corpus.tokens should be at least corpus.context_length, found 5 and 8"),
    ],
)
def test_what_can_not_be_meant_is_one_sentence(
    without: Path, tmp_path: Path, array: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(GlossaError, match=said) as raised:
        run(without, array, tmp_path, **options)
    assert "\n" not in str(raised.value)


def test_a_subject_without_a_tokenizer_reads_no_texts(without: Path) -> None:
    assert find_tokenizer(str(without), None) == (None, None)
    with pytest.raises(GlossaError) as raised:
        load_tokenizer(str(without), None)
    assert str(raised.value) == (
        f"subject.model {without} should hold a tokenizer, by which texts are read, but there is none; put one there, or read ready "
        "token ids (corpus.source: tokens)"
    )


def test_a_tokenizer_that_transformers_makes_up_is_none(without: Path, hub: Hub) -> None:
    """Of GPT-2's architecture it does, where the repository has no file of one; of Llama's it raises something long."""
    repository = hub.add("some/llama", without, inside=".")
    assert find_tokenizer("some/llama", None) == (None, repository.branches["main"])
    config = {
        **json.loads((without / "config.json").read_text()),
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
    }
    (without / "config.json").write_text(json.dumps(config))
    repository = hub.add("some/gpt", without, inside=".")
    assert find_tokenizer("some/gpt", None) == (None, repository.branches["main"])


def test_a_config_without_a_vocabulary_is_named(without: Path, tmp_path: Path) -> None:
    config = json.loads((without / "config.json").read_text())
    (without / "config.json").write_text(json.dumps({**config, "vocab_size": 0}))
    with pytest.raises(GlossaError, match="should say its vocab_size, a number above 0, found 0"):
        run(without, [[1] * 8], tmp_path)
    (without / "config.json").write_text("{")
    with pytest.raises(GlossaError, match="should say its vocab_size, but can't be read"):
        run(without, [[1] * 8], tmp_path)


def test_a_subject_without_a_tokenizer_is_cached_sampled_explained_and_scored(workplace: Path) -> None:
    """What is stored is what would be of the same rows made from texts."""

    def glossa(*words: str) -> str:
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        return result.output

    for words in (("tokenize",), ("cache", "one")):
        glossa(*words)
    of_texts, stored = Tokens.open(), LatentStore.open(Path("data/latents/one.zarr"))
    positions, values = stored.latent(3)
    np.save("ids.npy", of_texts.matrix)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        Path("subject", name).unlink()
    text = Path("params.yaml").read_text()
    params = text.replace("source: text, path: texts,", "source: tokens, path: ids.npy,").replace(
        "bos: <|end|>", "bos: <0>"
    )
    assert params != text
    judged = "\nscorers: {detection: {kind: detection, model: {provider: pattern}}}\n"
    Path("params.yaml").write_text(params.replace("\nscorers: {}\n", "\n") + judged)
    assert "subject has no tokenizer, so tokens are shown as their ids" in glossa("tokenize")
    tokens = Tokens.open()
    assert sorted(map(tuple, tokens.matrix)) == sorted(map(tuple, of_texts.matrix))
    glossa("cache", "one")
    again = LatentStore.open(Path("data/latents/one.zarr")).latent(3)
    assert len(positions) == len(again[0])
    assert sorted(values.tolist()) == pytest.approx(sorted(again[1].tolist()))
    for words in (("sample", "one"), ("explain", "one", "pattern"), ("score", "one", "pattern", "detection")):
        glossa(*words)
    explained = [text for text in table.texts(Path("data/explanations/one/pattern")).values() if text]
    assert explained
    assert all("<" in one for one in explained)
