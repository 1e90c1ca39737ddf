from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.corpus.tokens import Vocabulary
from stages.examples.marks import CLOSE, OPEN, Shown, Unit, marked, units


def shown(pieces: list[bytes], activations: list[float], special: tuple[int, ...] = ()) -> list[Unit]:
    """The units of a window of these tokens."""
    flags = np.isin(np.arange(len(pieces)), special)
    vocabulary = Vocabulary(pieces, np.ones(len(pieces), np.int64), flags)
    return units(np.arange(len(pieces), dtype=np.int32), np.array(activations, np.float32), vocabulary)


def told(pieces: list[bytes], activations: list[float], special: tuple[int, ...] = ()) -> list[tuple[str, float]]:
    return [(unit.text, unit.activation) for unit in shown(pieces, activations, special)]


def text(pieces: list[bytes], activations: list[float], special: tuple[int, ...] = ()) -> str:
    found = shown(pieces, activations, special)
    return marked(found, (unit.activation > 0 for unit in found))


def test_neighbours_share_a_pair_of_marks() -> None:
    assert text([b"a", b" b", b" c", b" d", b" e"], [0, 1, 2, 0, 3]) == "a« b c» d« e»"
    assert text([b"a", b"b"], [1, 1]) == "«ab»"
    assert text([b"a", b"b"], [0, 0]) == "ab"


def test_tokens_that_make_up_a_character_are_one_with_the_larger_activation() -> None:
    euro = "€".encode()
    assert told([b"12 ", euro[:1], euro[1:2], euro[2:] + b"x", b"y"], [0, 0, 3, 1, 0]) == [
        ("12 ", 0),
        ("€x", 3),
        ("y", 0),
    ]
    assert text([b"12 ", euro[:1], euro[1:2], euro[2:]], [0, 0, 0, 2]) == "12 «€»"


def test_a_character_that_the_edge_of_a_window_cuts_is_a_replacement_character() -> None:
    euro = "€".encode()
    assert told([euro[1:], b"a", euro[:2]], [1, 0, 2]) == [("\ufffd\ufffd", 1), ("a", 0), ("\ufffd", 2)]
    assert text([euro[1:], b"a", euro[:2]], [1, 0, 2]) == "«\ufffd\ufffd»a«\ufffd»"


def test_a_document_ends_in_a_line_break_and_a_leading_special_token_shows_nothing() -> None:
    assert text([b"<bos>", b"a", b"<eos>", b"b"], [0, 1, 0, 1], special=(0, 2)) == "«a»\n«b»"
    euro = "€".encode()
    assert told([b"x", b"<eos>", euro[2:]], [0, 0, 1], special=(1,)) == [("x", 0), ("\n", 0), ("\ufffd", 1)]
    assert [unit.special for unit in shown([b"x", b"<eos>", b"y"], [0, 0, 1], special=(1,))] == [False, True, False]


def test_marks_of_the_corpus_give_way_even_when_a_token_holds_half_of_one() -> None:
    mark = OPEN.encode()
    assert text([b"a", f"{OPEN}b{CLOSE}".encode(), b"c"], [1, 0, 0]) == "«a»\u2039b\u203ac"
    assert text([b"a", mark[:1], mark[1:]], [0, 0, 1]) == "a«\u2039»"


@given(st.lists(st.text(max_size=3) | st.sampled_from([OPEN, CLOSE, "é", "\n"]), max_size=12).map("".join), st.data())
def test_marks_come_in_pairs_and_without_them_the_text_is_whole(whole: str, data: st.DataObject) -> None:
    raw = whole.encode()
    cuts = sorted({0, len(raw), *data.draw(st.lists(st.integers(0, len(raw)), max_size=8))})
    pieces = [raw[first:last] for first, last in pairwise(cuts)]
    activations = data.draw(st.lists(st.sampled_from([0.0, 0.0, 1.0]), min_size=len(pieces), max_size=len(pieces)))
    found = text(pieces, activations)
    bare = found.replace(OPEN, "").replace(CLOSE, "")
    assert bare == whole.replace(OPEN, "\u2039").replace(CLOSE, "\u203a")
    assert [c for c in found if c in OPEN + CLOSE] == [OPEN, CLOSE] * found.count(OPEN)
    assert (OPEN in found) == any(activations)


PIECES = [b"a", b" b", "\u00abc\u00bb".encode(), b"<eos>", *(bytes([byte]) for byte in "€".encode()), b" d\xe2"]
PIECE = st.integers(0, len(PIECES) - 1)


@given(st.lists(st.tuples(*[PIECE] * 5), max_size=4), st.integers(0, 5))
def test_windows_show_the_same_whether_one_by_one_or_together(rows: list[tuple[int, ...]], seed: int) -> None:
    vocabulary = Vocabulary(PIECES, np.ones(len(PIECES), np.int64), np.array(PIECES) == b"<eos>")
    tokens = np.array(rows, np.int32).reshape(-1, 5)
    generator = np.random.default_rng(seed)
    activations = generator.choice([0, 0.1, 3], tokens.shape).astype(np.float32)
    activations[vocabulary.special[tokens]] = 0
    marks = generator.random(tokens.shape) < 0.5
    found = Shown.of(tokens, activations, vocabulary)
    marks &= found.there
    due = [units(row, values, vocabulary) for row, values in zip(tokens, activations, strict=True)]
    columns = zip(found.texts, found.activations, found.special, strict=True)
    for own, n, (texts, values, special) in zip(due, found.lengths.tolist(), columns, strict=True):
        assert [Unit(*unit) for unit in zip(texts[:n], values[:n], special[:n], strict=True)] == own
        assert not any(texts[n:])
    assert found.marked(marks) == [marked(own, mask[: len(own)]) for own, mask in zip(due, marks, strict=True)]
    assert found.unmarked() == [marked(own, [False] * len(own)) for own in due]
    assert vocabulary.texts(tokens) == [vocabulary.text(row) for row in tokens]
