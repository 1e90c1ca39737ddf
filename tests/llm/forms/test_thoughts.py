from __future__ import annotations

import pytest

from stages.llm.forms import answers, labels
from stages.llm.forms.thoughts import answer
from stages.llm.reply import Reply

ANSWER = '{"a": true, "b": false}'
DRAFT = '{"a": false, "b": false}'
MARKED = [
    f"<think>{DRAFT}?</think>{ANSWER}",
    f"{DRAFT} no.\n</think>\n\n{ANSWER}",
    f"<Thinking>{DRAFT}</Thinking>{ANSWER}",
    f"<seed:think>{DRAFT}</seed:think>{ANSWER}<seed:eos>",
    f"\u25c1think\u25b7{DRAFT}\u25c1/think\u25b7{ANSWER}",
    f"[THINK]{DRAFT}[/THINK]{ANSWER}</s>",
    f"<|channel>thought\n{DRAFT}<channel|>{ANSWER}<turn|>",
    f"<|channel>thought\n<channel|>{ANSWER}",
    f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>",
    f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{ANSWER}",
    f"analysisThe user wants {DRAFT}.assistantfinal{ANSWER}",
    f"Here are my reasoning steps:\n{DRAFT}\n[BEGIN FINAL RESPONSE]\n{ANSWER}\n[END FINAL RESPONSE]\n<|end|>",
]


@pytest.mark.parametrize("content", MARKED)
def test_what_follows_the_thoughts_is_the_answer_whatever_marks_them(content: str) -> None:
    found = answers.read(Reply(content, "stop"), labels.schema(2))
    assert (found.value, found.reason) == ({"a": True, "b": False}, None)
    assert found.span is not None
    assert content[slice(*found.span)] == ANSWER


@pytest.mark.parametrize("content", [one for one in MARKED if "</s" not in one or "THINK" in one])
def test_a_text_loses_its_thoughts_and_the_end_of_its_turn(content: str) -> None:
    text = content.replace(ANSWER, "Fires on cats.").replace("<seed:eos>", "")
    assert answers.read(Reply(text, "stop"), None).value == "Fires on cats."


@pytest.mark.parametrize("content", MARKED)
def test_thoughts_alone_are_no_answer(content: str) -> None:
    before = content[: content.rindex(ANSWER)]
    assert answer(before) is None
    for cut in range(len(before)):
        value = answers.read(Reply(before[:cut], "stop"), labels.schema(2)).value
        assert value is None or DRAFT in before[:cut]


@pytest.mark.parametrize(
    "opened",
    [
        "<think>",
        "[THINK]",
        "\u25c1think\u25b7",
        "<seed:think>",
        "<|channel>thought\n",
        "<|channel|>analysis<|message|>",
    ],
)
def test_thoughts_that_never_end_are_no_answer(opened: str) -> None:
    assert answers.read(Reply(f"{opened}{DRAFT}", "stop"), labels.schema(2)) == answers.Read(
        reason="the answer is all reasoning"
    )


@pytest.mark.parametrize("text", ["Analysis of variance.", "analysis of data", "a [note] about thinking", "x < y"])
def test_words_about_thinking_are_no_marks(text: str) -> None:
    assert answers.read(Reply(text, "stop"), None).value == text


@pytest.mark.parametrize("one", [" ", "</s>", "<|channel|>", "<|channel|> ", "[THINK]", "analysis", "\n</think>"])
def test_a_very_long_reply_is_read_at_once(one: str) -> None:
    answer(one * 200_000)  # in a moment, or this test runs out of time
