from __future__ import annotations

import numpy as np
import pytest

from stages.corpus.alone import alone, is_unreadable
from stages.corpus.tokens import Vocabulary
from stages.corpus.units import units

NI = "你".encode()
PIECES = [b"<end>", b" cat", NI[:1], NI[1:], b" " + NI[:2], NI, "\ufffd".encode(), b"a" + NI[:1], b""]
VOCABULARY = Vocabulary(PIECES, np.ones(len(PIECES), np.int64), np.arange(len(PIECES)) == 0)


def test_parts_of_characters_that_differ_look_different() -> None:
    found = [alone(token, VOCABULARY) for token in range(len(PIECES))]
    assert found == ["<end>", " cat", r"\xe4", r"\xbd\xa0", r" \xe4\xbd", "你", "\ufffd", r"a\xe4", ""]


@pytest.mark.parametrize(
    ("ids", "unreadable"),
    [
        ([2, 3, 1], []),  # 你
        ([3, 1, 2], [0, 2]),  # both edges cut one
        ([3, 5, 4], [0, 2]),  # behind a space there is nothing to read either
        ([6, 5], []),  # the corpus lost it; the window has it all
        ([1, 7], []),  # something can be read
    ],
)
def test_what_an_edge_cuts_is_unreadable(ids: list[int], unreadable: list[int]) -> None:
    found = units(ids, VOCABULARY)
    assert [place for place, unit in enumerate(found) if is_unreadable(unit, ids, VOCABULARY)] == unreadable
