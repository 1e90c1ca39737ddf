from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from stages.corpus.pack import pack
from stages.examples.grid import grid
from tests.examples.made import World, tokens_of, worlds


@given(worlds)
def test_stretches_are_the_rows_or_the_documents_in_them(world: World) -> None:
    length = world.tokens.context_length
    positions = np.arange(world.document.size)
    begin, end = grid(world.tokens, 4, across_documents=True).stretch(positions)
    assert np.array_equal(begin, positions // length * length)
    assert np.array_equal(end, begin + length)
    begin, end = grid(world.tokens, 4, across_documents=False).stretch(positions)
    for position in np.flatnonzero(world.document >= 0).tolist():
        row = slice(position // length * length, position // length * length + length)
        here = world.document[begin[position] : end[position]]
        assert row.start <= begin[position] <= position < end[position] <= row.stop
        assert set(here[here >= 0].tolist()) == {world.document[position]}  # no text of two documents …
        assert (world.document[row] == world.document[position]).sum() == (here >= 0).sum()  # … and all there is of one


@given(worlds)
def test_usable_blocks_hold_text_of_one_document(world: World) -> None:
    whole, within = (grid(world.tokens, 4, across_documents=across) for across in (True, False))
    texts = [set(block[block >= 0].tolist()) for block in world.document.reshape(-1, 4)]
    expected = [number for number, found in enumerate(texts) if len(found) <= 1]
    assert whole.n_usable == whole.n_blocks == within.n_blocks == len(texts)
    assert within.blocks is not None
    assert within.blocks.tolist() == expected
    assert np.flatnonzero(within.usable(np.arange(len(texts)))).tolist() == expected
    assert whole.usable(np.arange(len(texts))).all()


@pytest.mark.parametrize("bos", [None, 0])
def test_documents_as_they_are_packed(bos: int | None) -> None:
    packed = pack([[1] * 7, [2] * 3, [3] * 14, [4] * 9], 8, bos, 0)
    found = grid(tokens_of(packed.tokens, packed.starts), 8, across_documents=False)
    rows = [set(row[row > 0].tolist()) for row in packed.tokens]
    assert found.blocks is not None
    assert found.blocks.tolist() == [number for number, row in enumerate(rows) if len(row) == 1]
    assert len(found.blocks) < len(rows)
