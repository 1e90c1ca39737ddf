from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from stages.corpus.encode import load_tokenizer
from stages.corpus.vocabulary import token_bytes
from tests.conftest import END, SENTENCES

TEXTS = [*SENTENCES, "", " ", "\n\n\t x", "😀👩‍👩‍👧 é ß 漢字", "\x00\x7f", "<0x0A> <|end|> ▁", "a  b   c"]


def sentencepiece(prepend: str) -> PreTrainedTokenizerFast:
    """A tokenizer as SentencePiece's converters make them: U+2581 for a space, and bytes for what is not known."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    trained.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=120, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "<0xZZ>", *model["vocab"]]
    vocabulary = {word: token for token, word in enumerate(dict.fromkeys(words))}
    merges = [(left, right) for left, right in model["merges"]]
    bpe = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def joined(tokenizer: PreTrainedTokenizerBase, text: str) -> bytes:
    tokenizer.backend_tokenizer.encode_special_tokens = True
    ids = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    pieces = token_bytes(tokenizer, len(tokenizer))
    return b"".join(pieces[token] for token in ids)


@pytest.fixture(scope="module")
def byte_level(subject_folder: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(subject_folder), None)[0]


@pytest.mark.parametrize("text", TEXTS)
def test_byte_level_tokens_join_to_the_text(byte_level: PreTrainedTokenizerBase, text: str) -> None:
    assert joined(byte_level, text) == text.encode()


@given(st.text())
def test_any_text_survives_byte_level_bpe(byte_level: PreTrainedTokenizerBase, text: str) -> None:
    assert joined(byte_level, text) == text.encode()


@pytest.mark.parametrize("text", [text for text in TEXTS if "▁" not in text])
def test_sentencepiece_tokens_join_to_the_text(text: str) -> None:
    assert joined(sentencepiece("never"), text) == text.encode()


def test_sentencepiece_may_put_a_space_before_the_text() -> None:
    assert joined(sentencepiece("always"), "é 漢") == " é 漢".encode()


def test_a_piece_of_a_character_keeps_its_bytes() -> None:
    tokenizer = sentencepiece("never")
    pieces = token_bytes(tokenizer, len(tokenizer))
    ids = tokenizer.backend_tokenizer.encode("漢").ids
    assert [pieces[token] for token in ids] == [b"\xe6", b"\xbc", b"\xa2"]
    assert b"<0xZZ>" in pieces


def test_special_tokens_keep_their_name(byte_level: PreTrainedTokenizerBase) -> None:
    assert token_bytes(byte_level, len(byte_level))[byte_level.eos_token_id] == END.encode()
    tokenizer = sentencepiece("never")
    assert token_bytes(tokenizer, 3) == [b"<unk>", b"<s>", b"</s>"]


def test_an_added_token_is_spelt_as_itself(subject_folder: Path) -> None:
    tokenizer, _ = load_tokenizer(str(subject_folder), None)
    tokenizer.add_tokens([AddedToken("éß", special=False), AddedToken("two words", special=False)])
    n = len(tokenizer)
    assert token_bytes(tokenizer, n)[-2:] == ["éß".encode(), b"two words"]
    assert joined(tokenizer, "an éß of two words") == "an éß of two words".encode()


def test_an_id_without_a_token_is_nothing(byte_level: PreTrainedTokenizerBase) -> None:
    n = len(byte_level)
    assert token_bytes(byte_level, n + 2)[n:] == [b"", b""]
