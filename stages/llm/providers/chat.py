"""A chat as the text that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from stages import gguf
from stages.errors import GlossaError
from stages.llm.server import turns


def tokenizer(model: str, revision: str | None) -> Any:
    """Returns the tokenizer in a folder, in a GGUF file or, if it has been fetched before, of a repository on the Hub; None if neither."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        if file := gguf.find(model):
            with gguf.header(file) as folder:
                return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        return AutoTokenizer.from_pretrained(model, revision=revision, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, ImportError, RuntimeError, GlossaError):  # the name of a server's model may be any
        return None


def text(tokenizer: Any, name: str, messages: Sequence[dict[str, Any]], variables: dict[str, Any]) -> str:
    """Returns the text of a chat up to where the answer begins.

    By the tokenizer's template with ``variables``; without one, the turns as ``role: content`` with empty lines between them.

    Raises:
        GlossaError: the template refuses the chat; ``name`` is the model that it names.
    """
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        plain = "".join(f"{message['role']}: {message['content']}\n\n" for message in messages)
        return f"{tokenizer.bos_token or ''}{plain}assistant:"
    for turned in (messages, turns.folded(messages)):
        with suppress(TemplateError):
            return str(tokenizer.apply_chat_template(turned, tokenize=False, add_generation_prompt=True, **variables))
    raise GlossaError(
        f"the chat template of {name} should take a user's message behind a system's, but refuses it; use another model"
    )
