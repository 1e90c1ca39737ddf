"""Servers whose model has no turn of the system in its chat template, as they say it."""

from __future__ import annotations

import json

from tests.llm.scripted_server import Action, Asked, Script, error, good

WORDINGS = {
    "vllm": Action(
        400,
        json.dumps(
            {
                "object": "error",
                "message": "System role not supported",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            }
        ).encode(),
    ),
    "role": error(400, "Invalid value: 'system'. Supported values are: 'user' and 'assistant'.", "invalid_value"),
    "template": Action(422, b'{"error": "Template error: System role not supported", "error_type": "template_error"}'),
}


def refusing(wording: str, script: Script = good) -> Script:
    """A script that refuses every chat with a system turn, and else does as ``script``."""

    def refuse(asked: Asked) -> Action:
        return WORDINGS[wording] if has_system(asked) else script(asked)

    return refuse


def has_system(asked: Asked) -> bool:
    """Whether a chat has a turn of the system."""
    return any(turn["role"] == "system" for turn in asked.body["messages"])
