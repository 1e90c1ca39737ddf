from __future__ import annotations

import json

import pyarrow as pa
import pytest

from stages.provenance import bodies
from stages.provenance.tables import Difference, differences
from stages.provenance.values import MISSING, shown
from stages.provenance.values import differences as of_values

KEYS = ["latent"]


def table(*rows: tuple[int, float | None, str | None]) -> pa.Table:
    latents, scores, reasons = zip(*rows, strict=True)
    return pa.table(
        {"latent": pa.array(latents), "score": pa.array(scores, pa.float64()), "reason": pa.array(reasons, pa.string())}
    )


def test_rows_that_differ_are_named_with_both_values() -> None:
    stored = table((1, 0.5, None), (2, 0.25, None), (3, None, "x"))
    assert list(differences(stored, stored, KEYS)) == []
    found = table((1, 0.5, None), (2, 0.75, None), (3, None, "y"))
    assert list(differences(stored, found, KEYS)) == [
        Difference({"latent": 2}, "score is 0.25, should be 0.75"),
        Difference({"latent": 3}, 'reason is "x", should be "y"'),
    ]


def test_rounding_is_no_difference_and_a_null_is_one() -> None:
    stored = table((1, 0.5, None), (2, None, None))
    assert list(differences(stored, table((1, 0.5 + 1e-12, None), (2, None, None)), KEYS)) == []
    assert [d.row for d in differences(stored, table((1, 0.5 + 1e-6, None), (2, 0.0, None)), KEYS)] == [
        {"latent": 1},
        {"latent": 2},
    ]
    assert list(differences(stored, table((1, 0.50001, None), (2, None, None)), KEYS, rounding=1e-3)) == []


def test_rows_of_one_side_only_and_rows_with_the_same_keys() -> None:
    stored, found = table((1, 0.1, None), (1, 0.2, None), (2, 0.3, None)), table((1, 0.1, None), (4, 0.3, None))
    assert list(differences(stored, found, KEYS)) == [
        Difference({"latent": 1}, "is there, but should not be"),
        Difference({"latent": 2}, "is there, but should not be"),
        Difference({"latent": 4}, "is missing"),
    ]


def body(*turns: str, **more: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": turn} for turn in turns], **more}).encode()


@pytest.mark.parametrize(
    ("due", "sent", "said"),
    [
        (body("a"), body("a", temperature=1), "would be sent with temperature null, was sent with 1"),
        (
            body("a", "bc"),
            body("a", "bd"),
            'turn 2 of 2 (user) would say "bc" at character 1, said "bd"',
        ),
        (body("a", "b"), body("a"), "would be sent with 2 turns, was sent with 1"),
    ],
)
def test_requests_differ_in_one_place(due: bytes, sent: bytes, said: str) -> None:
    assert bodies.difference(due, sent) == said


def test_values_differ_by_leaf() -> None:
    was = {"a": {"b": 1, "c": [1]}, "d": None}
    assert list(of_values("x", was, {"a": {"b": 2, "c": [1]}})) == [("x.a.b", 1, 2), ("x.d", None, MISSING)]
    assert list(of_values("x", 1, MISSING)) == [("x", 1, MISSING)]
    assert shown(MISSING) == "not there"
    assert shown("é" * 100) == '"' + "é" * 58 + "…"
