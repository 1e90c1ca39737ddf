from __future__ import annotations

from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.llm.providers import chat
from tests.llm import small_models

MESSAGES = [{"role": "system", "content": "Judge."}, {"role": "user", "content": "Q"}]


def written(folder: Path, template: str | None = small_models.TEMPLATE, **variables: bool) -> str:
    return chat.text(chat.tokenizer(str(small_models.make(folder / "m", template)), None), "m", MESSAGES, variables)


def test_a_chat_is_written_by_the_tokenizers_template(tmp_path: Path) -> None:
    expected = "<|turn|>system\nJudge.<|end|><|turn|>user\nQ<|end|><|turn|>assistant\n"
    assert written(tmp_path) == expected
    assert written(tmp_path, shout=True) == f"{expected}NOW: "


def test_without_a_template_turns_are_plain_text(tmp_path: Path) -> None:
    assert written(tmp_path, None) == "system: Judge.\n\nuser: Q\n\nassistant:"


def test_a_template_that_knows_no_system_gets_it_with_the_first_user_message(tmp_path: Path) -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    assert written(tmp_path, refuses + small_models.TEMPLATE) == "<|turn|>user\nJudge.\n\nQ<|end|><|turn|>assistant\n"
    assert MESSAGES[1]["content"] == "Q"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ raise_exception('never') }}", "never"),
        ("{{ messages[0].content + 1 }}", "can only concatenate str"),
        ("{{ messages[5].content }}", "no element 5"),
        ("{% for i in range(10**9) %}a{% endfor %}", "Range too big"),
    ],
)
def test_a_template_that_refuses_either_is_told_with_its_reason(tmp_path: Path, template: str, why: str) -> None:
    said = rf"the chat template of m should take .*, but refuses it: .*{why}.*; mend template of the model in params"
    with pytest.raises(GlossaError, match=said):
        written(tmp_path, template)


def test_a_tokenizer_that_is_not_here_is_none(tmp_path: Path) -> None:
    assert chat.tokenizer("no/such", None) is None
    (tmp_path / "empty").mkdir()
    assert chat.tokenizer(str(tmp_path / "empty"), None) is None
