"""How the threads of numerical libraries wait for their next piece of work: asleep.

Unless told otherwise before they are loaded they keep their processors busy while they wait. Where much runs between two pieces of
work on one thread, as in comparing coders, nearly all that processors then do is waiting.
"""

from __future__ import annotations

import os

ASLEEP = {
    "OMP_WAIT_POLICY": "PASSIVE",  # OpenMP: torch
    "OPENBLAS_THREAD_TIMEOUT": "4",  # the least there is, of the logarithm of processor cycles: NumPy and SciPy
}


def wait_asleep() -> None:
    """Tells the libraries so, in this process and in those that it starts; what the environment says already holds.

    Has to be called before numpy or torch is imported. How many threads there are, and so every result, stays as it is.
    """
    for name, value in ASLEEP.items():
        os.environ.setdefault(name, value)
