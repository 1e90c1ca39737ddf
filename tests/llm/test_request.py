"""The key of a question."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stages.llm.forms import labels
from stages.llm.request import Message, Request
from stages.outputs import fingerprint

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
messages = st.lists(st.builds(Message, st.sampled_from(["system", "user"]), texts), max_size=4).map(tuple)
schemas = st.none() | st.integers(1, 5).map(labels.schema) | st.dictionaries(texts, texts | st.integers(), max_size=3)


@given(messages, schemas)
def test_the_key_is_the_hash_of_messages_and_schema(chat: tuple[Message, ...], schema: dict[str, Any] | None) -> None:
    due = fingerprint({"messages": [message._asdict() for message in chat], "schema": schema})
    assert Request(chat, schema).key == due
    assert Request(chat, schema, logprobs=True, sample=3).key == due
