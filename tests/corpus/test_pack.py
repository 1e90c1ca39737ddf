from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.pack import pack, shuffled

BOS, EOS = 100, 101
documents = st.lists(st.lists(st.integers(0, 99), max_size=12), max_size=12)
ends = st.sampled_from([None, EOS])


def stream_of(found: list[list[int]], eos: int | None) -> list[int]:
    return [token for document in found for token in [*document, *([eos] if eos is not None else [])]]


@given(documents, st.integers(2, 9), st.sampled_from([None, BOS]), ends, st.none() | st.integers(1, 4))
def test_rows_hold_the_stream_in_order(
    found: list[list[int]], length: int, bos: int | None, eos: int | None, max_rows: int | None
) -> None:
    stream = stream_of(found, eos)
    width = length - (bos is not None)
    rows = len(stream) // width if max_rows is None else min(len(stream) // width, max_rows)
    packed = pack(found, length, bos, eos, max_rows)
    assert packed.tokens.shape == (rows, length)
    assert packed.tokens.dtype == np.int32
    if bos is not None:
        assert (packed.tokens[:, 0] == bos).all()
    assert packed.tokens[:, length - width :].ravel().tolist() == stream[: rows * width]


@given(documents, st.integers(2, 9), st.sampled_from([None, BOS]), ends)
def test_starts_point_at_the_first_token_of_every_document(
    found: list[list[int]], length: int, bos: int | None, eos: int | None
) -> None:
    packed = pack(found, length, bos, eos)
    flat = packed.tokens.ravel()
    assert (np.diff(packed.starts) >= (1 if eos is not None else 0)).all()
    for start, document in zip(packed.starts.tolist(), found, strict=False):
        first = [*document, eos] if eos is not None else document
        if first:
            assert flat[start] == first[0]
        if bos is not None:
            assert start % length != 0
    # A document without a start begins behind the last full row.
    width = length - (bos is not None)
    n_kept = len(packed.starts)
    assert len(stream_of(found[:n_kept], eos)) >= len(packed.tokens) * width or n_kept == len(found)


def test_a_hand_made_example() -> None:
    packed = pack([[1, 2, 3], [4], [5, 6]], 4, BOS, EOS)
    assert packed.tokens.tolist() == [[BOS, 1, 2, 3], [BOS, EOS, 4, EOS], [BOS, 5, 6, EOS]]
    assert packed.starts.tolist() == [1, 6, 9]


def test_no_more_documents_are_read_than_are_needed() -> None:
    read = []

    def endless() -> Iterator[list[int]]:
        while True:
            read.append(1)
            yield [1, 2, 3]

    assert pack(endless(), 4, None, EOS, max_rows=5).tokens.shape == (5, 4)
    assert len(read) <= 6


@given(st.lists(st.integers(), max_size=40), st.integers(0, 3), st.integers(1, 50))
def test_shuffling_keeps_every_item_and_depends_on_the_seed_alone(items: list[int], seed: int, buffer: int) -> None:
    once = list(shuffled(iter(items), seed, buffer))
    assert sorted(once) == sorted(items)
    assert once == list(shuffled(iter(items), seed, buffer))


@pytest.mark.parametrize("buffer", [10, 100, 1000])
def test_shuffling_moves_things_even_when_the_buffer_is_smaller_than_the_input(buffer: int) -> None:
    items = list(range(100))
    orders = {tuple(shuffled(items, seed, buffer)) for seed in range(5)}
    assert len(orders) == 5
    assert tuple(items) not in orders


def test_shuffling_holds_no_more_than_its_buffer() -> None:
    taken = []

    def source() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    first = next(iter(shuffled(source(), 0, 10)))
    assert len(taken) == 11
    assert first in range(10)
