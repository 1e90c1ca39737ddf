"""Numbers in as few digits as a reader needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIGITS = 3
LARGEST = 22
"""The power of ten up to which a float holds it exactly."""


def short(values: NDArray, digits: int = DIGITS) -> NDArray[np.float64]:
    """Returns ``values`` rounded to so many significant digits, as the floats whose decimal spelling has no more.

    What is no number stays so; what is below 1e-19 becomes 0.
    """
    exact = np.asarray(values, np.float64)
    size = np.abs(exact)
    known = np.isfinite(exact) & (size > 0)
    power = np.zeros(exact.shape)
    power[known] = digits - 1 - np.floor(np.log10(size[known]))
    power = np.clip(power, -LARGEST, LARGEST)
    # Dividing one exact number by another gives the float nearest to the decimal; multiplying by 0.001 would not.
    up, down = 10.0 ** np.maximum(power, 0), 10.0 ** np.maximum(-power, 0)
    with np.errstate(invalid="ignore"):
        return np.rint(exact * up / down) * down / up


def shortened(value: float | None, digits: int = DIGITS) -> float | None:
    """The same of one number; None for none."""
    return None if value is None else float(f"{value:.{digits}g}")
