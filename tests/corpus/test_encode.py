from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import ByT5Tokenizer

from stages.corpus import tokens
from stages.corpus.document import Document
from stages.corpus.encode import Encoded, encode, load_tokenizer
from stages.errors import GlossaError
from tests.conftest import END, SENTENCES
from tests.corpus import chats
from tests.folders import tree
from tests.hub_server import Hub

LENGTH = 16


@pytest.fixture
def folder(subject_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(subject_folder, tmp_path / "subject"))


def docs(n: int) -> list[Document]:
    generator = np.random.default_rng(0)
    return [Document(f"d{i}", " ".join(generator.choice(SENTENCES, 3))) for i in range(n)]


def run(folder: Path, found: list[Document], n_tokens: int = 10_000, seed: int = 0, bos: str = END) -> Encoded:
    return encode(found, str(folder), None, LENGTH, n_tokens, seed, bos)


def test_every_document_is_found_again_from_its_start(subject_folder: Path) -> None:
    found = docs(10)
    encoded = run(subject_folder, found)
    flat = encoded.tokens.ravel()
    texts = {document.name: document.text for document in found}
    table = encoded.documents.to_pylist()
    assert sorted(row["name"] for row in table) == sorted(texts)
    assert [row["name"] for row in table] != [document.name for document in found]  # shuffled
    for row in table[:-1]:  # the end of the last one may lie behind the last full row
        stretch = flat[row["start"] :]
        ordinary = stretch[~encoded.vocabulary.special[stretch]][: row["n_tokens"]]
        assert b"".join(encoded.vocabulary.spellings[token] for token in ordinary).decode() == texts[row["name"]]


def test_facts_count_what_is_in_the_matrix(subject_folder: Path) -> None:
    encoded = run(subject_folder, docs(10))
    assert (encoded.tokens[:, 0] == 0).all()
    assert encoded.meta["bos"] == encoded.meta["eos"] == 0
    assert encoded.meta["special_positions"] == (encoded.tokens == 0).sum()
    assert encoded.meta["documents"] == len(encoded.documents) == 10
    assert encoded.vocabulary.counts.tolist() == np.bincount(encoded.tokens.ravel(), minlength=320).tolist()
    assert np.flatnonzero(encoded.vocabulary.special).tolist() == [0]
    assert "(the corpus ended before the 10,000 of corpus.tokens)" in encoded.summary


def test_no_more_tokens_than_asked_for(subject_folder: Path) -> None:
    encoded = run(subject_folder, docs(40), n_tokens=100)
    assert encoded.tokens.shape == (6, LENGTH)
    assert "ended before" not in encoded.summary


def test_the_name_of_a_special_token_in_a_text_stays_text(subject_folder: Path) -> None:
    text = f"The token {END} ends a text. " * 4
    encoded = run(subject_folder, [Document("d", text)])
    assert (encoded.tokens == 0).sum() == len(encoded.tokens)  # BOS alone
    assert text.startswith("".join(encoded.vocabulary.text(row) for row in encoded.tokens))


def test_padding_and_truncation_of_the_tokenizer_do_not_count(subject_folder: Path, folder: Path) -> None:
    path = str(folder / "tokenizer.json")
    changed = Tokenizer.from_file(path)
    changed.enable_padding(pad_id=0, pad_token=END, length=500)
    changed.enable_truncation(3)
    changed.save(path)
    assert np.array_equal(run(folder, docs(5)).tokens, run(subject_folder, docs(5)).tokens)


def test_documents_without_text_are_counted(subject_folder: Path) -> None:
    documents = [Document(str(n), text) for n, text in enumerate([*SENTENCES, "", " \n", *SENTENCES])]
    found = run(subject_folder, documents)
    assert found.meta["documents_without_text"] == 2
    assert "; 2 documents read have no text" in found.summary
    assert found.meta["documents"] == 2 * len(SENTENCES)
    one = run(subject_folder, documents[: len(SENTENCES) + 1])
    assert one.summary.endswith("; 1 document read has no text")
    assert "documents_without_text" not in run(subject_folder, documents[: len(SENTENCES)]).meta


def test_one_is_no_plural(subject_folder: Path) -> None:
    found = run(subject_folder, [Document("d", " ".join(SENTENCES))], n_tokens=LENGTH)
    assert found.summary == f"1 document, 1 row of {LENGTH}, {LENGTH} tokens"


def test_special_tokens_that_texts_spell_are_told(tmp_path: Path) -> None:
    folder = chats.tokenizer(tmp_path / "chat")
    turns = f"{chats.START}user\nThe cats sat.{chats.STOP}\n" * 3
    found = run(folder, [Document("0", turns), Document("1", SENTENCES[0] * 4), Document("2", turns)], bos="auto")
    said = f"; 2 documents spell special tokens such as {chats.START}, which are read as letters: corpus.chat reads conversations"
    assert found.summary.endswith(said)
    assert "spell" not in run(folder, docs(5), bos="auto").summary
    alone = run(folder, [Document("0", turns)], bos="auto")
    assert f"; 1 document spells special tokens such as {chats.START}" in alone.summary
    assert (
        alone.meta == run(folder, [Document("0", turns.replace("<", "{"))], bos="auto").meta
    )  # it is said, and decides nothing


def test_half_a_surrogate_pair_becomes_a_question_mark(subject_folder: Path) -> None:
    encoded = run(subject_folder, [Document("d", "a \ud83d b" * 20)])
    assert encoded.vocabulary.text(encoded.tokens[0]).startswith("a ? b")


def test_another_seed_is_another_order(subject_folder: Path) -> None:
    first, again, other = (run(subject_folder, docs(20), seed=seed).documents["name"].to_pylist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_written_twice_the_bytes_are_the_same(subject_folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        encoded = run(subject_folder, docs(20))
        tokens.write(tmp_path / name, encoded.tokens, encoded.documents, encoded.vocabulary, encoded.meta)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert tokens.Tokens.open(tmp_path / "a").vocabulary.spellings == encoded.vocabulary.spellings


@pytest.mark.parametrize(
    ("found", "n_tokens", "expected"),
    [
        ([], 1000, "the corpus is empty: corpus names a source without a single document that holds text"),
        ([Document("d", " \n ")], 1000, "the corpus is empty"),
        (
            [Document("d", "too short")],
            1000,
            "the corpus should fill at least one row of corpus.context_length 16, but its 1",
        ),
        (docs(3), 10, "corpus.tokens should be at least corpus.context_length, found 10 and 16; raise it"),
    ],
)
def test_too_little_text_is_a_mistake(
    subject_folder: Path, found: list[Document], n_tokens: int, expected: str
) -> None:
    with pytest.raises(GlossaError) as caught:
        run(subject_folder, found, n_tokens)
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("damage", ["no folder", "cut"])
def test_a_tokenizer_that_can_t_be_loaded_is_a_mistake(folder: Path, damage: str) -> None:
    match damage:
        case "no folder":
            shutil.rmtree(folder)
        case "cut":
            (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text()[:500])
    with pytest.raises(GlossaError) as caught:
        load_tokenizer(str(folder), None)
    assert str(caught.value).startswith(f"subject.model {folder} should hold a tokenizer, but none can be loaded: ")
    assert "\n" not in str(caught.value)


def test_a_tokenizer_written_in_python_is_a_mistake(tmp_path: Path) -> None:
    ByT5Tokenizer().save_pretrained(tmp_path)
    with pytest.raises(GlossaError, match="should hold a tokenizer of the library tokenizers, found ByT5Tokenizer"):
        load_tokenizer(str(tmp_path), None)


def test_a_tokenizer_from_the_hub_is_pinned(hub: Hub, subject_folder: Path) -> None:
    repository = hub.add("some/subject", subject_folder, inside=".")
    documents = [Document(str(i), "Is it raining? Yes, it is raining.") for i in range(10)]
    for revision in (None, "main", repository.branches["main"]):
        encoded = encode(documents, "some/subject", revision, 8, 64, 0)
        assert encoded.meta["tokenizer"]["revision"] == repository.branches["main"]
    assert np.array_equal(encoded.tokens, encode(documents, str(subject_folder), None, 8, 64, 0).tokens)
    with pytest.raises(
        GlossaError,
        match=r"subject.model some/other should hold a tokenizer, but none can be loaded: http.* has no rep",
    ):
        load_tokenizer("some/other", None)
    repository.gated = True
    repository.commit({**repository.commits[repository.branches["main"]], "x": b""})
    with pytest.raises(GlossaError, match="but none can be loaded: some/subject is gated; accept its terms on"):
        load_tokenizer("some/subject", None)


def put_in_front(folder: Path, template: str) -> None:
    """Has the tokenizer put a template around a text."""
    path = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(path)
    tokenizer.post_processor = TemplateProcessing(single=template, special_tokens=[(END, 0)])
    tokenizer.save(path)


@pytest.mark.parametrize("behind", ["", f" {END}"])
def test_what_the_tokenizer_puts_in_front_begins_every_row(folder: Path, behind: str) -> None:
    """The bytes are those of a row whose beginning is named."""
    put_in_front(folder, f"{END} $A{behind}")
    found, named = run(folder, docs(20), bos="auto"), run(folder, docs(20))
    assert (found.tokens[:, 0] == 0).all()
    assert found.meta == named.meta
    assert np.array_equal(found.tokens, named.tokens)
    assert found.documents.equals(named.documents)


@pytest.mark.parametrize("bos", ["auto", "none"])
def test_a_bos_that_the_tokenizer_only_names_is_in_no_row(folder: Path, bos: str) -> None:
    if bos == "none":
        put_in_front(folder, f"{END} $A")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": "The"}))
    found = run(folder, docs(20), bos=bos)
    assert found.meta["bos"] is None
    tokenizer = load_tokenizer(str(folder), None)[0]
    first = next(document.text for document in docs(20) if document.name == found.documents["name"][0].as_py())
    ids = tokenizer.backend_tokenizer.encode(first, add_special_tokens=False).ids
    assert found.tokens.reshape(-1)[: len(ids) + 1].tolist() == [*ids, 0]
    assert found.documents["start"][0].as_py() == 0
    the = tokenizer.get_vocab()["The"]
    assert np.flatnonzero(found.vocabulary.special).tolist() == sorted([0, the])


def test_any_token_of_the_vocabulary_may_begin_rows(subject_folder: Path) -> None:
    found = run(subject_folder, docs(20), bos="!")
    token = load_tokenizer(str(subject_folder), None)[0].get_vocab()["!"]
    assert (found.tokens[:, 0] == token).all()
    assert found.meta["bos"] == token
    assert np.flatnonzero(found.vocabulary.special).tolist() == sorted([0, token])


def test_a_beginning_that_is_none_is_a_mistake(folder: Path) -> None:
    with pytest.raises(GlossaError) as caught:
        run(folder, docs(3), bos="<|endd|>")
    assert str(caught.value) == (
        f"corpus.bos should be auto, none or a token of the vocabulary of {folder}, found <|endd|>; did you mean <|end|>?"
    )
    put_in_front(folder, f"{END} {END} $A")
    with pytest.raises(
        GlossaError, match=r"puts several in front of a text \(<\|end\|> <\|end\|>\); name one, or none"
    ):
        run(folder, docs(3), bos="auto")
