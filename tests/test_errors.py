from __future__ import annotations

import pytest

from stages.errors import nearest, said


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("toknes", ["tokens", "corpus"], "did you mean tokens?"),
        ("resid", ["resid2", "resid1", "mlp"], "did you mean resid2 or resid1?"),
        ("xyz", ["b", "a"], "known are a, b"),
        ("xyz", [], "there are none"),
        ("zzz", [f"n{i:02}" for i in range(30)], "known are " + ", ".join(f"n{i:02}" for i in range(20)) + ", …"),
    ],
)
def test_nearest_names_the_closest_or_lists_what_is_known(name: str, known: list[str], expected: str) -> None:
    assert nearest(name, known) == expected


def test_nearest_does_not_depend_on_the_order_of_the_names() -> None:
    names = ["layers.0", "layers.1", "layers.10"]
    assert nearest("layer.1", names) == nearest("layer.1", reversed(names))


@pytest.mark.parametrize(
    ("error", "expected", "whole"),
    [
        (ValueError("a  b\nc"), "a b", "a b c"),
        (ValueError("one of: \n(1) a file, \n(2) another"), "one of: (1) a file", "one of: (1) a file, (2) another"),
        (ValueError("\n\nlate"), "late", "late"),
        (ValueError("nothing follows:"), "nothing follows", "nothing follows"),
        (ValueError(":\n"), "ValueError", "ValueError"),
        (OSError(), "OSError", "OSError"),
    ],
)
def test_what_an_exception_says_is_never_cut_at_a_colon(error: Exception, expected: str, whole: str) -> None:
    assert (said(error), said(error, whole=True)) == (expected, whole)
