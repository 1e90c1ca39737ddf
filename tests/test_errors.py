from __future__ import annotations

import pytest

from stages.errors import nearest


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
