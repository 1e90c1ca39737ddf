"""How the tokens of a tokenizer are joined to a text that people can read.

Of most tokenizers the tokens bring their spaces along. Of those of words (WordLevel), and of pieces of words (WordPiece, BPE with
``</w>``), it is the decoder that puts a space between two tokens or not, so every token is given the space that the decoder would put before or
behind it. What is right is tried on texts of the corpus: joined, a text's tokens have to be the text itself, or what the
tokenizer decodes them to, with no space "cleaned up" (``clean_up_tokenization_spaces=False``): a text that was read as ``don ' t`` is
shown so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from stages.corpus.vocabulary import token_bytes
from stages.errors import GlossaError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AS_SPELT, BEFORE, BEHIND = "as spelt", "space before", "space behind"

SAMPLE, CHARACTERS = 64, 2000
"""Texts that are tried, and how much of each."""

UNREADABLE = re.compile("\ufffd+")


class Sample(NamedTuple):
    """Tokens that are to be joined."""

    ids: list[int]
    texts: tuple[str, ...] = ()
    """What they stand for, as it was or as the tokenizer's normaliser left it; nothing if it is not known."""


class Spelt(NamedTuple):
    """What tokens stand for, and how they were joined to find that out."""

    joining: str
    tokens: list[bytes]


def samples(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[Sample]:
    """Returns the beginnings of the first ``SAMPLE`` of ``texts``, tokenized."""
    backend = tokenizer.backend_tokenizer
    cut = [text[:CHARACTERS] for text in texts[:SAMPLE]]
    normal = backend.normalizer.normalize_str if backend.normalizer is not None else str
    encoded = backend.encode_batch(cut, add_special_tokens=False)
    return [Sample(one.ids, (text, normal(text))) for one, text in zip(encoded, cut, strict=True)]


def spell(
    tokenizer: PreTrainedTokenizerBase, size: int, special: Collection[int], tried: Sequence[Sample], model: str
) -> Spelt:
    """Returns the bytes of tokens 0 … size-1 of the tokenizer of ``model``, and which joining gives the texts of ``tried``.

    ``special`` tokens, which are no text, keep their names and part texts.

    Raises:
        GlossaError: no joining does.
    """
    _clean_nothing_up(tokenizer)
    alike, apart = _bare, special
    if tokenizer.backend_tokenizer.decoder is None:
        # A word that is not known stands for a text of any spelling, with a space before it or not.
        alike, apart = _words, {*special, tokenizer.unk_token_id}
    parts = [part for sample in tried for part in _parts(sample, apart)]
    due = [_read(tokenizer, part) for part in parts]
    first: tuple[str, str] | None = None
    for joining in (AS_SPELT, *_ways(tokenizer)):
        spelt = token_bytes(tokenizer, size)
        if joining != AS_SPELT and parts:
            spelt = _with_spaces(tokenizer, spelt, special, parts[0].ids[0], joining)
        for part, decoded in zip(parts, due, strict=True):
            joined = b"".join(spelt[token] for token in part.ids).decode("utf-8", "replace")
            if not part.texts and "\ufffd" in decoded + joined:
                continue  # cut inside a character, which not all decoders count as one
            if alike(joined) not in map(alike, (decoded, *part.texts)):
                first = first or (joined, decoded)
                break
        else:
            return Spelt(joining, spelt)
    assert first is not None
    at = next((i for i, (a, b) in enumerate(zip(*first, strict=False)) if a != b), 0)
    joined, decoded = (text[max(0, at - 20) : at + 20] for text in first)
    raise GlossaError(
        f"the tokens of {model} should join to the text that they were made of, but where its tokenizer reads {decoded!r} they give {joined!r}, "
        "and no better with a space before or behind each; choose a subject whose tokenizer has a decoder that fits it"
    )


def said(spelt: Spelt) -> dict[str, str]:
    """Returns what meta.json says of a tokenizer whose tokens do not bring their spaces along."""
    return {} if spelt.joining == AS_SPELT else {"joining": spelt.joining}


def _parts(sample: Sample, special: Collection[int]) -> Iterator[Sample]:
    """A sample, or the stretches of it between special tokens."""
    if not any(token in special for token in sample.ids):
        if sample.ids:
            yield sample
        return
    for is_special, ids in groupby(sample.ids, key=lambda token: token in special):
        if not is_special:
            yield Sample(list(ids))


def _ways(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """The sides on which a space may stand; first that of a model which marks where words end, as words of one token tell neither."""
    marks_ends = bool(getattr(tokenizer.backend_tokenizer.model, "end_of_word_suffix", None))
    return (BEHIND, BEFORE) if marks_ends else (BEFORE, BEHIND)


def _read(tokenizer: PreTrainedTokenizerBase, part: Sample) -> str:
    """What the tokenizer decodes tokens to; of a row that may begin inside a word, as they are read behind others, themselves."""
    once = _decoded(tokenizer, part.ids)
    return once if part.texts else _decoded(tokenizer, part.ids * 2)[len(once) :]


def _with_spaces(
    tokenizer: PreTrainedTokenizerBase, spelt: list[bytes], special: Collection[int], word: int, joining: str
) -> list[bytes]:
    """What every token adds to a text before or behind which the token ``word`` stands; its own spelling where that can't be told."""
    ids = [token for token, name in enumerate(spelt) if name and token not in special]
    pairs = [[word, token] if joining == BEFORE else [token, word] for token in ids]
    alone, found = _decoded(tokenizer, [word]), list(spelt)
    for token, pair in zip(ids, pairs, strict=True):
        text = _decoded(tokenizer, pair)
        if joining == BEFORE and text.startswith(alone):
            found[token] = text.removeprefix(alone).encode()
        elif joining == BEHIND and text.endswith(alone):
            found[token] = text.removesuffix(alone).encode()
    return found


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _bare(text: str) -> str:
    """A text without the spaces around it, which decoders drop, and however many marks stand for a broken character."""
    return UNREADABLE.sub("\ufffd", text).strip(" ")


def _words(text: str) -> str:
    """The same with one space between words, for a tokenizer without a decoder: it puts one between all tokens, also beside SentencePiece's mark."""
    return " ".join(_bare(text.replace("\u2581", " ")).split())


def _clean_nothing_up(tokenizer: PreTrainedTokenizerBase) -> None:
    """Has the decoder leave spaces before punctuation; that of WordPiece takes them away by itself."""
    decoder: Any = tokenizer.backend_tokenizer.decoder
    if decoder is not None:
        state = json.loads(decoder.__getstate__())
        decoder.__setstate__(json.dumps(_without_cleanup(state)).encode())
        tokenizer.backend_tokenizer.decoder = decoder


def _without_cleanup(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: False if key == "cleanup" else _without_cleanup(value) for key, value in state.items()}
    return [_without_cleanup(one) for one in state] if isinstance(state, list) else state
