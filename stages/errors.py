"""The errors a user can cause.

Every message is one sentence that says what was expected, what was found, where, and what to do. The command line
prints it without a traceback and exits with 1; anything else that escapes is a defect of Glossa.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GlossaError(Exception):
    """A mistake in the input, the parameters or the environment that the user can mend."""


def nearest(name: str, known: Iterable[str], n: int = 3) -> str:
    """Returns ``did you mean …?`` with the known names closest to ``name``, or the known names if none is close."""
    choices = sorted(known)
    close = difflib.get_close_matches(name, choices, n=n, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    if not choices:
        return "there are none"
    shown = ", ".join(choices[:20]) + (", …" if len(choices) > 20 else "")
    return f"known are {shown}"
