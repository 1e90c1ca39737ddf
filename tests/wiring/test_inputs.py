from __future__ import annotations

from pathlib import Path

import pytest

from stages import params
from stages.wiring import inputs
from tests.corpus.chats import tokenizer


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        (None, ["texts", "tokenizer.json", "tokenizer_config.json"]),
        (True, ["texts", "chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]),
        ("own.jinja", ["texts", "own.jinja", "tokenizer.json", "tokenizer_config.json"]),
    ],
)
def test_the_template_that_writes_conversations_is_what_tokens_are_made_from(
    tmp_path: Path, chat: bool | str | None, expected: list[str]
) -> None:
    tokenizer(tmp_path / "subject")
    corpus = params.LocalText(source="jsonl", path="texts", chat=chat, context_length=32, tokens=64)
    p = params.Params.model_construct(corpus=corpus, subject=params.Subject(model=str(tmp_path / "subject")))
    assert [path.name for path in inputs.corpus(p)] == expected
