"""Packing documents into the rows that the subject reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

SHUFFLE_BUFFER = 65_536
"""Documents held while shuffling: a smaller corpus is shuffled whole, a larger one as a stream."""


class Packed(NamedTuple):
    """Rows of tokens and where the documents in them begin."""

    tokens: NDArray[np.int32]
    """[rows, context_length]; every row begins with BOS if there is one."""

    starts: NDArray[np.int64]
    """Flat position (row * context_length + column) of the first token of every document, increasing."""


def shuffled(items: Iterable[T], seed: int, buffer_size: int = SHUFFLE_BUFFER) -> Iterator[T]:
    """Yields ``items`` in an order that depends on ``seed`` alone, holding at most ``buffer_size`` of them."""
    generator = np.random.default_rng([seed, 0x5F0F])
    buffer: list[T] = []
    for item in items:
        if len(buffer) < buffer_size:
            buffer.append(item)
            continue
        place = int(generator.integers(buffer_size))
        buffer[place], item = item, buffer[place]
        yield item
    for place in generator.permutation(len(buffer)):
        yield buffer[place]


def pack(
    documents: Iterable[list[int] | NDArray[np.int64]],
    context_length: int,
    bos: int | None,
    eos: int | None,
    max_rows: int | None = None,
) -> Packed:
    """Lays documents end to end, EOS after each, and cuts the stream into rows that begin with BOS.

    A document may go on in the next row; the tokens after the last full row are dropped. Stops reading ``documents``
    once ``max_rows`` are full.
    """
    width = context_length - (bos is not None)
    wanted = None if max_rows is None else max_rows * width
    pieces: list[NDArray[np.int32]] = []
    starts: list[int] = []
    length = 0
    for document in documents:
        if wanted is not None and length >= wanted:
            break
        ids = np.array([*document, eos] if eos is not None else document, dtype=np.int32)
        starts.append(length)
        pieces.append(ids)
        length += len(ids)
    stream = np.concatenate(pieces) if pieces else np.empty(0, np.int32)
    rows = length // width if max_rows is None else min(length // width, max_rows)
    tokens = stream[: rows * width].reshape(rows, width)
    if bos is not None:
        tokens = np.concatenate([np.full((rows, 1), bos, np.int32), tokens], axis=1)
    begin = np.array(starts, dtype=np.int64)
    begin = begin[begin < rows * width]
    return Packed(tokens, begin // width * context_length + begin % width + (bos is not None))
