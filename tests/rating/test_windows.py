from __future__ import annotations

from pathlib import Path

from stages.explainers import seen
from stages.rating import windows
from tests.rating.answered import latent
from tests.results.furnished import vocabulary


def test_windows_are_marked_as_a_model_sees_them(place: Path) -> None:
    # Of the second window é is 5 of 8; of all, the strongest is the latent's maximum.
    assert list(windows.lines(latent(2), 20, vocabulary())) == [
        "  10  « cat»</script> a a",
        "   6   a«é» a",
        "   2   a a a« cat»",
    ]
    assert seen.places(latent(2), 2) == [0, 1]


def test_a_terminal_is_told_how_strong_each_mark_is(place: Path) -> None:
    told: list[tuple[str, float]] = []

    def shade(text: str, level: float) -> str:
        told.append((text, level))
        return f"[{text}]"

    lines = list(windows.lines(latent(2), 20, vocabulary(), shade))
    assert lines == ["  10  [ cat]</script> a a", "   6   a[é] a", "   2   a a a[ cat]"]
    assert told == [(" cat", 1.0), ("é", 0.625), (" cat", 0.25)]
