"""Text from outside, made harmless: what a corpus holds before a model reads it, what a model says before people do.

Nothing here judges what a text means. It keeps a text in its place: inside its quotes, on its line, without tokens that
a server would take for the end of a turn.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import lru_cache

EXPLANATION = 500
"""Characters of an explanation at most."""

NAMES = (
    "s|bos|eos|pad|unk|sep|cls|mask|think|thinking|tool|image|audio|video|user|assistant|system|human|bot|turn|tool_call|"
    r"tool_response|end|start|[a-z0-9]+(?:_[a-z0-9]+)+|unused\d+|reserved\w*|0x[0-9a-f]{2}"
)
SPECIAL = re.compile(
    r"<(?=[|\uff5c])"  # <|im_start|>, <|eot_id|>, <|channel|> and the like; DeepSeek's with a wide bar
    rf"|<(?=/?(?:{NAMES})>)"  # <s>, </s>, <bos>, <end_of_turn>, <think>, <0x0A>
    r"|<(?=</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|PREFIX|SUFFIX|MIDDLE|IMG|THINK)\])",
    re.IGNORECASE,
)
"""The first character of what servers read as control tokens, even inside of a message."""

UNSEEN = re.compile(
    # C0 without \t and \n (JSON escapes those anyway), DEL, C1, what has no width, line separators, bidi marks, tags, lone surrogates
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|\x9b[0-?]*[ -/]*[@-~]")
"""An ANSI sequence, such as the one that turns text red."""


def quoted(text: str) -> str:
    r"""Returns ``text`` as a JSON string on one line, so that whatever it holds stays inside its quotes.

    The first character of a control token is spelt ``\u003c`` or ``\u005b``, which a model reads and a tokenizer does
    not take for the token; so are characters that can't be seen. ``json.loads`` gives the text back.
    """
    spelt = json.dumps(text, ensure_ascii=False)
    return UNSEEN.sub(_escaped, SPECIAL.sub(_escaped, spelt))


@lru_cache(maxsize=1 << 16)
def neutralised(text: str, *marks: str) -> str:
    """Returns ``text`` with our own ``marks`` replaced by look-alikes, so that a corpus can't mark anything itself."""
    for mark in marks:
        text = text.replace(mark, mark.translate(LOOK_ALIKE))
    return text


LOOK_ALIKE = str.maketrans({"<": "\u2039", ">": "\u203a", "\u00ab": "\u2039", "\u00bb": "\u203a", "*": "\u2217"})


def line(text: str, most: int = EXPLANATION) -> str:
    """Returns ``text`` as one line of at most ``most`` characters without control, bidi or ANSI sequences.

    A text that is too long ends in an ellipsis.
    """
    plain = TERMINAL.sub("", text)
    plain = "".join(" " if character.isspace() else character for character in plain)
    plain = UNSEEN.sub("", plain)
    plain = " ".join(unicodedata.normalize("NFC", plain).split())
    return plain if len(plain) <= most else plain[: most - 1].rstrip() + "\u2026"


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"\\u{ord(unit):04x}" for unit in _utf16(found.group()))


def _utf16(text: str) -> str:
    """The UTF-16 units of ``text``, as JSON escapes them."""
    data = text.encode("utf-16-be", "surrogatepass")
    return "".join(chr(int.from_bytes(data[i : i + 2], "big")) for i in range(0, len(data), 2))
