from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stages.latents import spec
from stages.latents.spec import kept_bits, round_mantissa

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
LARGEST = float(np.finfo(np.float32).max)
SUBNORMAL = float(np.finfo(np.float32).smallest_subnormal)


@pytest.mark.parametrize(("precision", "bits"), [("exact", 23), ("bf16", 7), (1, 1), (10, 10), (23, 23)])
def test_kept_bits(precision: str | int, bits: int) -> None:
    assert kept_bits(precision) == bits


@given(st.lists(FINITE, max_size=20), st.integers(1, 23))
@example([LARGEST, -LARGEST, SUBNORMAL, -SUBNORMAL, 0.0], 1)
@example([LARGEST, -LARGEST, SUBNORMAL, -SUBNORMAL, 0.0], 22)
def test_the_relative_error_is_bounded_and_nothing_becomes_infinite_or_0(found: list[float], bits: int) -> None:
    values = np.array(found, np.float32)
    rounded = round_mantissa(values, bits)
    assert rounded.dtype == np.float32
    assert np.isfinite(rounded).all()
    assert ((rounded == 0) == (values == 0)).all()
    wide = values.astype(np.float64)
    bound = 0.0 if bits == 23 else 2.0 ** -(bits + 1)
    assert (np.abs(rounded.astype(np.float64) - wide) <= bound * np.abs(wide)).all()
    assert (round_mantissa(rounded, bits) == rounded).all()


@given(st.lists(FINITE, max_size=20), st.integers(1, 23))
def test_the_order_of_values_stays(found: list[float], bits: int) -> None:
    values = np.sort(np.array(found, np.float32))
    assert (np.diff(round_mantissa(values, bits).astype(np.float64)) >= 0).all()


@given(st.lists(st.floats(width=32, min_value=2.0**-126, allow_nan=False, allow_infinity=False)), st.integers(1, 22))
def test_the_dropped_bits_are_0(found: list[float], bits: int) -> None:
    raw = round_mantissa(np.array(found, np.float32), bits).view(np.uint32)
    assert (raw & np.uint32((1 << (23 - bits)) - 1) == 0).all()


@pytest.mark.parametrize(
    ("value", "bits", "expected"),
    [(1.25, 1, 1.0), (1.75, 1, 2.0), (1.125, 2, 1.0), (1.375, 2, 1.5), (1.2, 2, 1.25), (-1.75, 1, -2.0)],
)
def test_halves_go_to_even(value: float, bits: int, expected: float) -> None:
    assert round_mantissa(np.array([value], np.float32), bits).tolist() == [expected]


def test_bf16_is_what_torch_rounds_to() -> None:
    import torch

    values = np.random.default_rng(0).lognormal(0, 4, 1000).astype(np.float32)
    expected = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    assert np.array_equal(round_mantissa(values, spec.kept_bits("bf16")), expected)
