"""Ready token ids -> rows of tokens. The subject may have no tokenizer: then a token is shown as its id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages import gguf
from stages.corpus import ids, joining
from stages.corpus.encode import Encoded, beginning, find_tokenizer, named, special_tokens, whole_rows
from stages.corpus.ids import Sequence
from stages.corpus.pack import pack, shuffled
from stages.corpus.tokens import Vocabulary
from stages.errors import GlossaError, said
from stages.machine.counted import are, counted
from stages.machine.progress import bar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LOOKED_AT = 64
"""Sequences by which it is told whether all begin with BOS."""


def encode(
    path: Path,
    field: str,
    model: str,
    revision: str | None,
    context_length: int,
    n_tokens: int,
    seed: int,
    bos: str = "auto",
) -> Encoded:
    """Shuffles the sequences of ids that lie at ``path``, and packs them, with nothing between, into at most ``n_tokens`` tokens.

    Rows begin with ``bos``, which is taken off sequences that begin with it, so sequences as long as rows stay the rows they are. ``auto``
    is the BOS or EOS of the tokenizer, if the sequences begin with it.

    Raises:
        GlossaError: there are no ids of the subject's tokens, they are too few for one row, or ``bos`` is no token.
    """
    tokenizer, commit = find_tokenizer(model, revision)
    size = vocabulary_size(model, commit)
    rows = whole_rows(n_tokens, context_length)
    without = 0

    def some() -> Iterator[Sequence]:
        nonlocal without
        for sequence in bar("read sequences", unit="sequence", iterable=ids.read(path, field, size)):
            if len(sequence.ids):
                yield sequence
            else:
                without += 1

    stream = iter(shuffled(some(), seed))
    first = list(islice(stream, LOOKED_AT))
    if not first:
        raise GlossaError(f"the corpus is empty: {path} holds no sequence with a single token")
    front = _front(tokenizer, bos, model, size, first)
    names: list[str] = []
    lengths: list[int] = []

    def bare() -> Iterator[NDArray[np.int64]]:
        for name, found in chain(first, stream):
            own = found[1:] if found[0] == front else found
            names.append(name)
            lengths.append(len(own))
            yield own[: rows * context_length]

    packed = pack(bare(), context_length, front, None, rows)
    if not len(packed.tokens):
        raise GlossaError(
            f"the corpus should fill at least one row of corpus.context_length {context_length}, but its {counted(len(names), 'sequence')} "
            f"came to {counted(sum(lengths), 'token')}; add some or shorten the rows"
        )
    special = np.zeros(size, bool)
    named_so = [] if front is None else [front]
    special[own := named_so if tokenizer is None else special_tokens(tokenizer, front)] = True
    n = len(packed.starts)
    meta: dict[str, Any] = {
        "bos": front,
        "eos": None if tokenizer is None else tokenizer.eos_token_id,
        "documents": n,
        "special_positions": int(special[packed.tokens].sum()),
    }
    if tokenizer is None:
        spelt = [f"{' ' * (not special[token])}{placeholder(token)}".encode() for token in range(size)]
    else:
        tried = [joining.Sample(row.tolist()) for row in packed.tokens[: joining.SAMPLE]]
        found = joining.spell(tokenizer, size, set(own), tried, model)
        spelt = found.tokens
        meta["tokenizer"] = {**named(model), "revision": commit, "size": len(tokenizer)} | joining.said(found)
    counts = np.bincount(packed.tokens.ravel(), minlength=size)
    table = pa.table(
        {
            "name": pa.array(names[:n], pa.string()),
            "start": pa.array(packed.starts, pa.int64()),
            "n_tokens": pa.array(lengths[:n], pa.int32()),
        }
    )
    rows_made, n_found = len(packed.tokens), packed.tokens.size
    summary = f"{counted(n, 'sequence')}, {counted(rows_made, 'row')} of {context_length}, {counted(n_found, 'token')}"
    if rows_made < rows:
        summary += f" (the corpus ended before the {n_tokens:,} of corpus.tokens)"
    if without:
        meta["documents_without_text"] = without
        summary += f"; {are(without, 'sequence')} empty"
    if tokenizer is None:
        summary += f"; {model} has no tokenizer, so tokens are shown as their ids"
    return Encoded(packed.tokens, table, Vocabulary(spelt, counts, special), meta, summary)


def placeholder(token: int) -> str:
    """Returns what a token is called of which no tokenizer says what it stands for."""
    return f"<{token}>"


def vocabulary_size(model: str, commit: str | None) -> int:
    """Returns how many tokens the config of a subject says that it has.

    Raises:
        GlossaError: the config can't be read, or says nothing of it.
    """
    from transformers import AutoConfig

    try:
        if file := gguf.find(model):
            with gguf.header(file) as folder:
                config = AutoConfig.from_pretrained(folder)
        else:
            config = AutoConfig.from_pretrained(model, revision=commit)
        size = config.get_text_config().vocab_size
    except (OSError, ValueError, ImportError, RuntimeError, AttributeError) as error:
        raise GlossaError(
            f"the config of subject.model {model} should say its vocab_size, but can't be read: {said(error)}"
        ) from None
    if type(size) is not int or size < 1:
        raise GlossaError(
            f"the config of subject.model {model} should say its vocab_size, a number above 0, found {size!r}"
        )
    return size


def _front(
    tokenizer: PreTrainedTokenizerBase | None, bos: str, model: str, size: int, first: Iterable[Sequence]
) -> int | None:
    """The token that every row begins with; see ``encode``."""
    if bos == "none":
        return None
    if bos != "auto" and tokenizer is not None:
        return beginning(tokenizer, bos, model)
    if bos != "auto":
        number = bos[1:-1]
        if bos != f"<{number}>" or not (
            number.isascii() and number.isdecimal() and len(number) < 20 and int(number) < size
        ):
            raise GlossaError(
                f"corpus.bos should be auto, none or, as {model} has no tokenizer, the id of a token from <0> to <{size - 1}>, found {bos}"
            )
        return int(number)
    begins = {int(sequence.ids[0]) for sequence in first}
    known = set() if tokenizer is None else {tokenizer.bos_token_id, tokenizer.eos_token_id}
    return begins.pop() if len(begins) == 1 and begins <= known else None
