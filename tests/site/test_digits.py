from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.site.digits import short, shortened


def test_short_by_hand() -> None:
    values = np.array([0, 1234.5, -0.00012345, 0.1, 99.96, 999.6, 3e-7, np.float32(0.3), 1e15, np.nan])
    assert short(values).tolist()[:9] == [0, 1230, -0.000123, 0.1, 100, 1000, 3e-7, 0.3, 1e15]
    assert math.isnan(short(values)[9])
    assert short(np.array([0.98765432]), 4).tolist() == [0.9877]
    assert short(np.empty((0, 4))).shape == (0, 4)
    assert (shortened(0.123456), shortened(None), shortened(0.0)) == (0.123, None, 0.0)


@given(st.floats(1e-15, 1e15), st.integers(1, 6), st.sampled_from([1, -1]))
def test_what_is_short_is_near_and_spelt_with_few_digits(size: float, digits: int, sign: int) -> None:
    (found,) = short(np.array([sign * size]), digits).tolist()
    assert abs(found - sign * size) <= size * 0.5000001 * 10.0 ** (1 - digits)
    assert found == float(f"{found:.{digits}g}"), "no decimal with as many digits is nearer"
