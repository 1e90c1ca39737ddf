"""How a model is asked to give its explanation, and how that is read: as JSON, or behind a tag where nothing enforces JSON.

Without a schema to keep to, models forget to escape the quotes that explanations are full of; a line behind a tag needs none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from stages.text.sanitise import line

TAG = "[explanation]:"

ANALYSIS = 4000
"""Characters of a model's reasoning that are kept beside its explanation."""

DECLINED = re.compile(
    r"(?:i['\u2019]?m|i am) (?:sorry|unable|afraid|not able)\b|i (?:can(?:['\u2019]?t|not)|won['\u2019]?t) |"
    r"(?:sorry|apologies)[,.:]? (?:but )?i\b|as an ai\b",
    re.IGNORECASE,
)
"""How a text begins that is no explanation but says why there will be none."""

EMPTY = frozenset({"", "n/a", "na", "none", "null", "nothing", "unknown", "no explanation", "explanation", "string"})
"""What models write where they have nothing to say, or repeat of the form."""


@dataclass(frozen=True)
class Form:
    """The form of an explainer's answers."""

    structured: bool
    """Whether the server can be made to answer with JSON."""

    thinks: bool = False
    """Whether the model is to reason before it explains."""

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON schema of an answer. Bodies are sent with sorted keys, so the reasoning has to come first by its name."""
        if not self.structured:
            return None
        keys = ["analysis", "explanation"] if self.thinks else ["explanation"]
        return {
            "type": "object",
            "properties": {key: {"type": "string"} for key in keys},
            "required": keys,
            "additionalProperties": False,
        }

    @property
    def tag(self) -> str | None:
        """What stands before the explanation in an answer that is no JSON."""
        return None if self.structured else TAG

    @property
    def instruction(self) -> str:
        """What the model is told of the form."""
        if self.structured and self.thinks:
            return (
                'Answer with a JSON object: your reasoning under "analysis", then the explanation under "explanation".'
            )
        if self.structured:
            return 'Answer with a JSON object that has the explanation under "explanation", and nothing else.'
        if self.thinks:
            return f"Write down your reasoning first. The last line of your answer begins with {TAG} and holds the explanation."
        return f"Answer with one line that begins with {TAG} and holds the explanation."

    def said(self, explanation: str, analysis: str) -> str:
        """Returns the answer of a worked example."""
        if self.structured:
            value = {"analysis": analysis, "explanation": explanation} if self.thinks else {"explanation": explanation}
            return json.dumps(value, ensure_ascii=False)
        return f"{analysis}\n{TAG} {explanation}" if self.thinks else f"{TAG} {explanation}"

    def read(self, content: str) -> tuple[str, str | None]:
        """Returns the explanation as a single line, and the reasoning if it is apart; the content satisfies ``schema``."""
        if not self.structured:
            return line(content), None
        value = json.loads(content)
        return line(value["explanation"]), line(value["analysis"], ANALYSIS) if self.thinks else None


def refused(text: str) -> str | None:
    """Returns why a line is no explanation, or None if it may be one."""
    if text.strip(" .\u2026\"'").lower() in EMPTY or not any(character.isalnum() for character in text):
        return "the model gave an empty explanation"
    if DECLINED.match(text):
        return "the model declined to explain"
    return None
