from __future__ import annotations

from typing import Any

import pytest

from stages.corpus.field import text
from stages.errors import GlossaError


@pytest.mark.parametrize(
    ("row", "field", "expected"),
    [
        ({"text": "a"}, "text", "a"),
        ({"data": {"text": "a"}}, "data.text", "a"),
        ({"data.text": "flat", "data": {"text": "nested"}}, "data.text", "flat"),
        ({"a": {"b.c": {"d": "deep"}}}, "a.b.c.d", None),
        ({"a": {"b": {"c": "deep"}}}, "a.b.c", "deep"),
        ({"text": None}, "text", ""),
        ({"data": None}, "data.text", ""),
    ],
)
def test_a_field_or_one_inside_another(row: Any, field: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(GlossaError):
            text(row, field, "row 1")
    else:
        assert text(row, field, "row 1") == expected


@pytest.mark.parametrize(
    ("row", "field", "expected"),
    [
        ({"txt": "a"}, "text", "row 1 has no field text; did you mean txt?"),
        ({"data": {"txt": "a"}}, "data.text", "row 1 has no field data.text; did you mean txt?"),
        ({"dat": {"text": "a"}}, "data.text", "row 1 has no field data.text; did you mean dat?"),
        ({"data": "a"}, "data.text", "row 1 has no field data.text; there are none"),
        ({"data": {"text": 3}}, "data.text", "row 1 should have a string in data.text, found int"),
        (["text"], "text", "row 1 has no field text; there are none"),
        (3, "text", "row 1 has no field text; there are none"),
    ],
)
def test_what_is_not_there_is_named(row: Any, field: str, expected: str) -> None:
    with pytest.raises(GlossaError) as caught:
        text(row, field, "row 1")
    assert str(caught.value) == expected
