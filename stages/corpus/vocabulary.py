"""What every token of a tokenizer stands for, as bytes: decoded once, so that later stages need no tokenizer."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")


def token_bytes(tokenizer: PreTrainedTokenizerBase, size: int) -> list[bytes]:
    """Returns the bytes of tokens 0 … size-1; joined over a row they are the UTF-8 of its text.

    Byte-level BPE spells bytes as printable characters, SentencePiece spells a space as U+2581 and rare bytes as
    ``<0x0A>``. Special tokens keep their name, and byte-level BPE spells added tokens as themselves.
    """
    byte_level = _is_byte_level(tokenizer)
    as_spelt = set(tokenizer.added_tokens_decoder if byte_level else tokenizer.all_special_ids)
    spellings = tokenizer.convert_ids_to_tokens(list(range(size)))
    result = []
    for token, spelling in enumerate(spellings):
        if spelling is None:
            result.append(b"")
        elif token in as_spelt:
            result.append(spelling.encode())
        elif byte_level:
            result.append(_from_byte_level(spelling))
        else:
            result.append(_from_sentencepiece(spelling))
    return result


def _is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and "ByteLevel" in repr((backend.decoder, backend.pre_tokenizer))


def _from_byte_level(spelling: str) -> bytes:
    table = _byte_of_character()
    if all(character in table for character in spelling):
        return bytes(table[character] for character in spelling)
    return spelling.encode()  # a vocabulary may hold plain text all the same, which the decoder takes as it stands


def _from_sentencepiece(spelling: str) -> bytes:
    if byte := BYTE_TOKEN.fullmatch(spelling):
        return bytes([int(byte[1], 16)])
    return spelling.replace("\u2581", " ").encode()


@cache
def _byte_of_character() -> dict[str, int]:
    """The inverse of GPT-2's map: printable Latin-1 stands for itself, the other bytes for U+0100 and up."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    table.update({chr(0x100 + place): byte for place, byte in enumerate(others)})
    return table
