"""Tokenizers of words and of pieces of words: what is shown is what was read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from stages.corpus import joining
from stages.corpus.document import Document
from stages.corpus.encode import Encoded, encode, load_tokenizer
from stages.corpus.joining import AS_SPELT, BEFORE, BEHIND, Sample, spell
from stages.corpus.vocabulary import token_bytes
from stages.errors import GlossaError
from stages.examples import marks
from stages.params import Params
from stages.serve.text import Tokenizer as Live
from tests.conftest import SENTENCES

TEXTS = ["the cats sat on the mats", "the dogs, they said, were running: don't run!", *SENTENCES]
LENGTH = 16


def saved(folder: Path, tokenizer: Tokenizer, **named: str) -> str:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named).save_pretrained(folder)
    return str(folder)


def words(folder: Path) -> str:
    bpe = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    bpe.pre_tokenizer = pre_tokenizers.Whitespace()
    bpe.train_from_iterator(TEXTS[:-1], trainers.WordLevelTrainer(special_tokens=["[UNK]", "[BOS]"]))
    return saved(folder, bpe, unk_token="[UNK]", bos_token="[BOS]")


def pieces(folder: Path, decoder: Any = None) -> str:
    bpe = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    bpe.normalizer = normalizers.BertNormalizer(lowercase=True)
    bpe.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bpe.decoder = decoder or decoders.WordPiece()
    bpe.train_from_iterator(
        TEXTS, trainers.WordPieceTrainer(vocab_size=90, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False)
    )
    return saved(folder, bpe, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


def ends(folder: Path, size: int = 90) -> str:
    bpe = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bpe.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    bpe.train_from_iterator(TEXTS, trainer)
    return saved(folder, bpe, unk_token="<unk>")


def unigram(folder: Path) -> str:
    bpe = Tokenizer(models.Unigram())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    bpe.train_from_iterator(
        TEXTS,
        trainers.UnigramTrainer(
            vocab_size=80, special_tokens=["<s>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
        ),
    )
    return saved(folder, bpe, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def marked(folder: Path) -> str:
    """Words with SentencePiece's mark, some of them unknown, and nothing that decodes the mark."""
    bpe = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace()
    bpe.train_from_iterator(TEXTS[1:], trainers.WordLevelTrainer(special_tokens=["[UNK]"]))
    return saved(folder, bpe, unk_token="[UNK]")


def bytes_(folder: Path, decoder: bool = True) -> str:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if decoder:
        bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|end|>"],
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    return saved(folder, bpe, eos_token="<|end|>")


def run(folder: str, texts: list[str] = TEXTS, bos: str = "none") -> Encoded:
    documents = [Document(f"d{i}", text) for i, text in enumerate(texts * 8)]
    return encode(documents, folder, None, LENGTH, 10_000, 0, bos)


def test_words_come_with_the_space_before_them(tmp_path: Path) -> None:
    found = run(words(tmp_path / "words"), ["the cats sat on the mats"] * 3, bos="[BOS]")
    assert found.meta["tokenizer"]["joining"] == BEFORE
    assert found.vocabulary.text(found.tokens[0]).startswith(" the cats sat on the mats")
    assert found.vocabulary.strings[found.meta["bos"]] == "[BOS]"  # no text, so no space


def test_punctuation_of_words_stands_apart_as_it_was_read(tmp_path: Path) -> None:
    tokenizer, _ = load_tokenizer(words(tmp_path / "words"), None)
    spelt = spell(tokenizer, len(tokenizer), {1}, joining.samples(tokenizer, TEXTS), "it")
    ids = tokenizer.backend_tokenizer.encode(TEXTS[1], add_special_tokens=False).ids
    text = b"".join(spelt.tokens[token] for token in ids).decode()
    assert text == " the dogs , they said , were running : don ' t run !"


@pytest.mark.parametrize("decoder", [None, decoders.Sequence([decoders.WordPiece()])], ids=["alone", "in a sequence"])
def test_pieces_of_words_go_on_where_words_do(tmp_path: Path, decoder: Any) -> None:
    found = run(pieces(tmp_path / "pieces", decoder), TEXTS[:2])
    assert found.meta["tokenizer"]["joining"] == BEFORE
    text = "".join(found.vocabulary.text(row) for row in found.tokens)
    assert "the dogs , they said , were running : don ' t run !" in text
    assert "#" not in text


def test_pieces_that_end_words_bring_the_space_behind(tmp_path: Path) -> None:
    found = run(ends(tmp_path / "ends"), TEXTS[:2])
    assert found.meta["tokenizer"]["joining"] == BEHIND
    text = "".join(found.vocabulary.text(row) for row in found.tokens)
    assert "the dogs , they said , were running : don ' t run ! " in text
    assert "</w>" not in text


def test_a_model_that_marks_ends_is_joined_so_even_where_every_word_is_a_token(tmp_path: Path) -> None:
    folder = ends(tmp_path / "ends", size=1000)
    tokenizer, _ = load_tokenizer(folder, None)
    (sample,) = joining.samples(tokenizer, ["the cats sat"])
    assert len(sample.ids) == 3
    assert spell(tokenizer, len(tokenizer), set(), [sample], "it").joining == BEHIND


@pytest.mark.parametrize("make", [unigram, marked, bytes_, lambda folder: bytes_(folder, decoder=False)])
def test_tokens_that_bring_their_spaces_along_stay_as_they_were(tmp_path: Path, make: Any) -> None:
    folder = make(tmp_path / "tokenizer")
    found = run(folder)
    tokenizer, _ = load_tokenizer(folder, None)
    assert "joining" not in found.meta["tokenizer"]
    assert found.vocabulary.spellings == token_bytes(tokenizer, len(tokenizer))


def test_rows_without_a_text_may_begin_inside_a_word_and_hold_special_tokens(tmp_path: Path) -> None:
    tokenizer, _ = load_tokenizer(pieces(tmp_path / "pieces"), None)
    (whole,) = joining.samples(tokenizer, [TEXTS[1]])
    inside = next(i for i, name in enumerate(tokenizer.convert_ids_to_tokens(whole.ids)) if name.startswith("##"))
    cls, sep = tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    row = Sample([*whole.ids[inside:], sep, cls, *whole.ids])
    found = spell(tokenizer, len(tokenizer), {cls, sep}, [row], "it")
    assert (found.joining, found.tokens[cls]) == (BEFORE, b"[CLS]")


def test_a_tokenizer_that_can_not_be_read_back_is_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = Path(pieces(tmp_path / "pieces"))
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    replaced = {"type": "Replace", "pattern": {"Regex": "[a-z]##"}, "content": "@"}
    content["decoder"] = {"type": "Sequence", "decoders": [{"type": "Fuse"}, replaced]}
    file.write_text(json.dumps(content))
    with pytest.raises(GlossaError) as raised:
        run(str(folder), TEXTS[:2])
    said = str(raised.value)
    assert f"the tokens of {folder} should join to the text" in said
    assert "\n" not in said


@pytest.mark.parametrize("make", [words, pieces, ends])
def test_a_window_reads_as_words_with_the_marks_around_them(tmp_path: Path, make: Any) -> None:
    found = run(make(tmp_path / "tokenizer"), ["the cats sat on the mats"])
    row = found.tokens[0]
    units = marks.units(row, np.ones(len(row), np.float32), found.vocabulary)
    assert "the cats sat on" in marks.marked(units, [False] * len(units))
    one = marks.marked(units, [i == 1 for i in range(len(units))])
    assert one.partition("«")[2].partition("»")[0] == units[1].text == found.vocabulary.strings[row[1]]
    assert "the cats sat on" in one.replace("«", "").replace("»", "")


@pytest.mark.parametrize("make", [words, pieces, ends])
def test_a_text_that_is_typed_is_shown_as_the_corpus_is(tmp_path: Path, at_params: Any, make: Any) -> None:
    shown = Live(at_params(make(tmp_path / "tokenizer"))).row("the cats sat").shown
    assert "".join(shown).strip().replace("\xa0", " ") == "the cats sat"


@pytest.fixture
def at_params() -> Any:
    """Params of a subject in some folder."""
    from ruamel.yaml import YAML

    from tests.conftest import PARAMS

    def made(folder: str) -> Params:
        values = YAML(typ="safe", pure=True).load(PARAMS)
        values["subject"]["model"], values["corpus"]["bos"] = folder, "none"
        return Params.model_validate(values)

    return made


def test_as_spelt_is_no_news(tmp_path: Path) -> None:
    tokenizer, _ = load_tokenizer(bytes_(tmp_path / "bytes"), None)
    assert spell(tokenizer, len(tokenizer), set(), [], "it").joining == AS_SPELT
