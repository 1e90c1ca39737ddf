"""The errors a user can cause.

Every message is one sentence that says what was expected, what was found, where, and what to do. The command line
prints it without a traceback and exits with 1; anything else that escapes is a defect of Glossa.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


class GlossaError(Exception):
    """A mistake in the input, the parameters or the environment that the user can mend."""


def said(error: BaseException, whole: bool = False) -> str:
    """Returns what an exception says on one line: all of it, or its first line, with those below as long as it ends in a colon.

    The name of its type where it says nothing, so that a message never ends where the reason should stand.
    """
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    text = ""
    for line in lines:
        text = f"{text} {line}".strip()
        if text and not text.endswith(":") and not whole:
            break
    return text.rstrip(" ,:;") or type(error).__name__


def check_name(what: str, name: str, known: Collection[str]) -> None:
    """Raises GlossaError if ``name``, of a coder or whatever ``what`` is, is not one of those that params.yaml has."""
    if name not in known:
        raise GlossaError(f"params.yaml has no {what} {name}; {nearest(name, known)}")


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
