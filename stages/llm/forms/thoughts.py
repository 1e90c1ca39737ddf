"""Where a model's thoughts end and its answer begins, by the marks that models put around their thoughts."""

from __future__ import annotations

import re

NAMES = r"(?:[a-z]+:)?(?:think|thinking|thoughts?|reasoning)"  # seed:think
END = re.compile(
    rf"</{NAMES}>"
    r"|\[/THINK\]"  # Mistral
    r"|\u25c1/think\u25b7"  # Kimi
    r"|<channel\|>"  # Gemma 4
    r"|\[BEGIN FINAL RESPONSE\]"  # Apriel
    r"|<\|channel\|>\s*final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>",  # harmony, as gpt-oss writes it
    re.IGNORECASE,
)
"""The end of thoughts; some servers leave out their beginning."""

BEGIN = re.compile(
    rf"<{NAMES}>|\[THINK\]|\u25c1think\u25b7|<\|channel>|<\|channel\|>\s*(?:analysis|commentary)\b|\A\s*analysis(?=[A-Z])"
)

BARE = re.compile(r"\A\s*analysis.*assistantfinal", re.DOTALL)
"""Harmony's marks as some servers leave them: without the tokens that make them marks."""

CLOSING = ("<|return|>", "<|end|>", "<|im_end|>", "<|eot_id|>", "<turn|>", "[END FINAL RESPONSE]", "</s>")
"""What ends a turn, of servers that do not leave it out."""

MOST_CLOSING = 3


def answer(content: str) -> tuple[int, int] | None:
    """Returns where in ``content`` the answer stands, which is what follows the last of the thoughts; None if there is none."""
    bare = BARE.match(content)
    start, end = bare.end() if bare else 0, len(content)
    for found in END.finditer(content, start):
        start = found.end()
    for _ in range(MOST_CLOSING):
        end = start + len(content[start:end].rstrip())
        end -= next((len(mark) for mark in CLOSING if content.endswith(mark, start, end)), 0)
    text = content[start:end]
    return None if not text.strip() or BEGIN.search(text) else (start, end)
