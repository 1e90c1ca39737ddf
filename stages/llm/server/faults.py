"""What can go wrong with one attempt, what it means, and how long to wait before the next."""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from stages.errors import GlossaError
from stages.llm.call import Call
from stages.llm.received import text
from stages.llm.reply import Reply, UnreadableError, parse, shown

Kind = Literal["busy", "down", "garbled", "fatal"]

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before the second attempt and, after doublings, before a late one, when the server names no time."""

GARBLED_ATTEMPTS = 5
"""Answers without sense, one after the other, until a call is given up, or the question if the server answers others."""

FAILED_ATTEMPTS, AWAY_ATTEMPTS = 4, 10
"""Failures on one question, one after the other, until it is looked whether the server answers others: with 500, which is mostly
about the question, and with any other 5xx, which is mostly about a server that is away for some minutes."""

HINTS = {
    400: "mend the options of the model in params.yaml",
    401: "check the key in the environment variable that api_key_env names, or a header",
    402: "pay the provider",
    403: "check that the key may use this model",
    404: "check base_url in runtime.yaml and the model in params.yaml, and the query where the server wants one, as Azure does",
    407: "give the proxy its name and password, in the variable that proxy of the endpoint in runtime.yaml names",
    422: "leave the options that this server does not know out of params.yaml",
}
REFUSED = frozenset({"content_filter", "content_policy_violation"})
"""Codes of a 400 that is about what this one request says, as Azure sends it: an answer, of a kind."""

NO_TEXT = re.compile(r"\\x[0-9a-f]{2}")
"""A byte that is no text, as ``received.text`` spells it."""

QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
"""Codes of a 429 that no waiting will mend."""


class AttemptError(Exception):
    """One attempt that brought no answer."""

    def __init__(
        self, kind: Kind, reason: str, status: int | None = None, wait: float | None = None, billed: bool = True
    ):
        super().__init__(reason)
        self.kind = kind
        """``busy``: too many requests. ``down``: no answer. ``garbled``: an answer without sense. ``fatal``: for good."""
        self.reason = reason
        self.status = status
        self.wait = wait
        """Seconds until the server wants to be asked again, if it says so."""
        self.billed = billed
        """Whether it may have been billed."""
        self.call: Call | None = None
        """What was sent and came back, if anything did."""

    @property
    def is_failure(self) -> bool:
        """Whether the server says that it failed, or says nothing that makes sense: either may be about the question."""
        return self.kind == "garbled" or (self.kind == "down" and self.status is not None and self.status >= 500)

    @property
    def most_attempts(self) -> int:
        """How many such failures on one question are one too many."""
        if self.kind == "garbled":
            return GARBLED_ATTEMPTS
        return FAILED_ATTEMPTS if self.status == 500 else AWAY_ATTEMPTS


class RefusedError(GlossaError):
    """The server will not answer a question, however often it is asked."""

    def __init__(self, message: str, reason: str, status: int | None):
        super().__init__(message)
        self.reason = reason
        self.status = status
        """Of HTTP; None if what it sends makes no sense."""


def read(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """Returns what the server answered.

    Raises:
        AttemptError: it did not.
    """
    if status == 200:
        try:
            value = parse(body)
        except UnreadableError as error:
            raise AttemptError("garbled", f"200 with {error}", 200) from None
        if isinstance(value, Reply):
            return value
        # OpenRouter and others report a fault of the provider behind them as a success.
        code, message = value
        if isinstance(code, int) and 400 <= code < 600:
            raise _fault(code, headers, message, code)
        raise AttemptError("garbled", f"200 with the error {message}", 200)
    if 300 <= status < 400:
        raise AttemptError(
            "fatal", f"{status}, a redirect; set base_url in runtime.yaml to where it leads", status, billed=False
        )
    code, message = _error(body)
    if status == 400 and code in REFUSED:
        return Reply(None, "content_filter")
    raise _fault(status, headers, message, code)


def kept(status: int, body: bytes) -> Reply:
    """Returns what was answered, as it is kept: that a server fails on a question, again and again, is an answer as well.

    So is whatever else is kept, by which rules ever: one that can't be read, as what ended a stage would end every later one.
    """
    try:
        return read(status, {}, body)
    except AttemptError as fault:
        if fault.kind == "down" and fault.is_failure:
            return Reply(None, None, failed=fault.status)
        return Reply(None, None, garbled=True)


def pause(fault: AttemptError, n: int, generator: random.Random) -> float:
    """Returns how many seconds to wait after attempt ``n``, the first being 1, before the next."""
    if fault.wait is not None:
        return fault.wait + generator.uniform(0, 0.1 + fault.wait / 20)
    return min(LONGEST_WAIT, FIRST_WAIT * 2 ** (n - 1)) * generator.uniform(0.5, 1)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Returns the seconds that the server asks to wait, of any length; None if it does not say."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        said = headers.get(name, "").strip()
        try:
            seconds = float(said) / unit
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    try:
        return max(0.0, parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _fault(status: int, headers: Mapping[str, str], message: str, code: Any) -> AttemptError:
    reason = f"{status}{message and f' ({message})'}"
    if status == 429:
        if code in QUOTA:
            return AttemptError("fatal", f"{reason}; the account has no quota left", status, billed=False)
        return AttemptError("busy", reason, status, retry_after(headers, time.time()), billed=False)
    if status in (408, 409, 425) or status >= 500:
        return AttemptError("down", reason, status, retry_after(headers, time.time()), billed=status >= 500)
    hint = HINTS.get(status, "see what the server says")
    return AttemptError("fatal", f"{reason}; {hint}", status, billed=False)


def _error(body: bytes) -> tuple[Any, str]:
    """The code and the message of an error body in any of the usual forms."""
    try:
        value = json.loads(NO_TEXT.sub("\ufffd", text(body)))  # an error's own words may have accents of any kind
    except (ValueError, RecursionError):
        return None, ""
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return None, shown(error) if isinstance(error, str) else ""
    message = error.get("message", error.get("detail"))
    code = error.get("code") or error.get("type")
    return code if isinstance(code, str | int) else None, shown(message) if isinstance(message, str) else ""
