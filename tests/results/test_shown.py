from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stages.results.reading import Results
from stages.results.shown import Documents, ShownWindow, shown_windows, spread
from stages.text.display import Segment


def test_spread_by_hand() -> None:
    assert spread(4, 6) == [0, 1, 2, 3]
    assert spread(100, 1) == [0]
    assert spread(100, 6) == [0, 1, 2, 34, 66, 99]


@given(st.integers(0, 300), st.integers(1, 100))
def test_spread_is_increasing_and_reaches_both_ends(total: int, n: int) -> None:
    found = spread(total, n)
    assert len(found) == min(total, n)
    assert found == sorted(set(found))
    assert all(0 <= rank < total for rank in found)
    if total and n > 2:
        assert (found[0], found[-1]) == (0, total - 1)


def test_windows_are_ranked_over_both_roles_and_say_where_they_come_from(found: Results) -> None:
    example = next(iter(found.coders["one"].examples()))
    shown = shown_windows(example, 3, found.tokens, Documents(found.tokens.documents))
    assert shown == [
        ShownWindow("train", 1, 8.0, "first", [Segment(" cat", 8.0), Segment("</script> a a", 0)]),
        ShownWindow(
            "test",
            1,
            7.0,
            "first",
            [Segment(" a", 0), Segment("↵", 7.0), Segment("⟨U+202E⟩", 0.5), Segment("<end>", 0, True)],
        ),
        ShownWindow("test", 3, 0.25, "second <b>", [Segment(" a", 0.25), Segment(" a a a", 0)]),
    ]


def test_the_document_is_that_of_the_strongest_token(found: Results) -> None:
    documents = Documents(found.tokens.documents)
    assert [documents.at(position) for position in (0, 15, 16, 79)] == ["first", "first", "second <b>", "second <b>"]
    late = Documents(found.tokens.documents.slice(1))
    assert late.at(3) == ""
