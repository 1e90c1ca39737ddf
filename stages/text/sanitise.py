"""Text from outside, made harmless: what a corpus holds before a model reads it, what a model says before people do.

Nothing here judges what a text means. It keeps a text in its place: inside its quotes, on its line, without tokens that
a server would take for the end of a turn.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

EXPLANATION = 500
"""Characters of an explanation at most."""

HARMLESS = (
    "a|abbr|address|article|aside|b|base|bdi|bdo|blockquote|body|br|button|canvas|caption|center|cite|code|col|dd|del|details|dfn|dialog|div|"
    "dl|dt|em|fieldset|figcaption|figure|font|footer|form|frame|h[1-6]|head|header|hgroup|hr|html|i|iframe|img|input|ins|kbd|label|legend|"
    "li|link|main|map|mark|menu|meta|nav|noscript|ol|optgroup|option|p|param|picture|pre|samp|script|section|select|small|span|strike|strong|"
    "style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var|wbr|"  # of pages
    "bool|boolean|byte|char|double|float|int|long|object|short|str|string|void|[A-RT-Z]"  # of code: List<int>, <T>
)
"""What stands between angle brackets in pages and code, and is no tokenizer's token. ``<s>``, ``<audio>`` and ``<video>`` are."""

SPECIAL = re.compile(
    "<(?=[|\uff5c])"  # <|im_start|>, <|eot_id|>, <|turn>; DeepSeek's with a wide bar
    rf"|<(?=/?(?!(?:{HARMLESS})/?>)[\w:\u2581-]{{1,64}}/?[|\uff5c]?>)"  # <s>, </s>, <seed:think>, <0x0A>, <SPECIAL_12>, <turn|>
    r"|<(?=</?[A-Z]+>>)"  # <<SYS>>
    r"|>(?=>[A-Z_]+<<)"  # Falcon's >>QUESTION<<
    r"|\[(?=[|@])"  # EXAONE's [|system|], [@BOS@]
    r"|\[(?=/?[a-z]?[A-Z][A-Z0-9_ ]{1,63}\])"  # [INST], [/INST], [gMASK], [IMG_BREAK], [BEGIN FINAL RESPONSE]
    r"|\[(?=[a-z]+_\d+\])"  # Mistral's [control_8]
    r"|\[(?=\w{1,8}~\[)|\](?=~)"  # MiniMax' [e~[, ]~b], ]~!b[
    "|\u25c1(?=/?\\w+\u25b7)"  # Kimi's
    r"|\|(?=\|\|[A-Z_]+\|\|\|)"  # OLMo's |||IP_ADDRESS|||
)
"""The first character of what tokenizers read as control tokens, even inside of a message: by its shape, whatever its name."""

BEGINNINGS = "<>[]|\u25c1"
"""What those begin with."""

UNSEEN = re.compile(
    # C0 without \t and \n (JSON escapes those anyway), DEL, C1, what has no width, line separators, bidi marks, tags, lone surrogates
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_spelt = json.JSONEncoder(ensure_ascii=False).encode
"""As ``json.dumps`` spells a text, which makes an encoder for every text."""

TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|\x9b[0-?]*[ -/]*[@-~]")
"""An ANSI sequence, such as the one that turns text red."""


def quoted(text: str) -> str:
    r"""Returns ``text`` as a JSON string on one line, so that whatever it holds stays inside its quotes.

    The first character of a control token is spelt ``\u003c`` or the like, which a model reads and a tokenizer does
    not take for the token; so are characters that can't be seen. ``json.loads`` gives the text back.
    """
    spelt = _spelt(text)
    if not _is_harmless(spelt):
        spelt = UNSEEN.sub(_escaped, SPECIAL.sub(_escaped, spelt))
    return spelt


def all_quoted(texts: Sequence[str]) -> list[str]:
    """Returns every text ``quoted``; together they take half as long as one by one."""
    together = SEAM.join(texts)
    if texts and together.count(SEAM) == len(texts) - 1 and _is_harmless(spelt := _spelt(together)):
        return [f'"{text}"' for text in spelt[1:-1].split(SEAM)]
    return list(map(quoted, texts))


SEAM = "\u00a6"
"""Between texts that are spelt together; it is spelt as itself."""


def _is_harmless(spelt: str) -> bool:
    """Whether a look tells that nothing in a JSON string has to be escaped further; if not, there may be something."""
    if any(character in spelt for character in BEGINNINGS):
        return False
    # What can't be seen is not printable; not all that is not printable, such as wide spaces, has to be escaped.
    return "\x7f" not in spelt if spelt.isascii() else spelt.isprintable()


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
