from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages import llm
from stages.estimate import cost
from stages.estimate.count import Count
from stages.estimate.forecast import Forecast
from stages.llm.call import Call
from stages.llm.forms import labels
from stages.llm.journal import canonical
from stages.llm.rehearsal import TEXT, Noted
from stages.llm.request import Message, Request
from stages.llm.server.exchange import exchange
from tests.llm.asking import judge, runtime_yaml

STAGE = ("explain", "one", "llm")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runtime_yaml("http://127.0.0.1:1/v1", prices={"m": {"input": 10.0, "output": 100.0, "batch": 0.5}})


def noted(text: str, schema: dict[str, Any] | None = None, usage: dict[str, int] | None = None) -> Noted:
    """A question of ``text``; answered if there is a usage."""
    request = Request((Message("user", text),), schema)
    asked = next(exchange(judge(), request))
    key = canonical.key("lab", asked.body, 0)
    body = {"model": "m", "choices": [{"message": {"content": "x"}}], "usage": usage}
    call = Call(key, "lab", canonical.CHAT, 0, 200, asked.body, json.dumps(body).encode()) if usage else None
    return Noted(judge(), request, asked, key, call)


def counted(*asked: Noted) -> Count:
    count = Count(judge())
    for one in asked:
        count.add(one, False)
    return count


def line(count: Count, factor: float = 1.0, basis: str = "examples") -> cost.Line:
    ((found,), _) = cost.lines([Forecast(STAGE, count, factor, basis)])
    return found


def test_a_text_may_be_as_long_as_allowed_and_verdicts_are_as_long_as_their_form() -> None:
    count = counted(noted("x" * 80), noted("y" * 180, labels.schema(5)))
    found = line(count)
    assert (found.calls, found.known, found.to_send) == (2, 0, 2)
    assert found.tokens_in == (80 + 20 + 180 + 20) / 4
    assert found.tokens_out == 50 + 5 * 6 + 1
    assert found.tokens_out_most == 100
    assert found.dollars == pytest.approx((75 * 10 + 81 * 100) / 1e6)
    assert found.dollars_most == pytest.approx((75 * 10 + 100 * 100) / 1e6)
    assert found.dollars_batch == pytest.approx((75 * 10 + 81 * 100) / 1e6 / 2)


def test_known_answers_tell_how_long_others_are() -> None:
    known = [noted(f"{n}" * 80, usage={"prompt_tokens": 50, "completion_tokens": 7 + 2 * n}) for n in range(2)]
    count = counted(*known, noted("z" * 180), noted("y" * 80))
    (found,), how = cost.lines([Forecast(STAGE, count, 1.0, "examples")])
    assert (found.known, found.to_send) == (2, 2)
    assert found.tokens_in == (200 + 100) / 2  # 100 bytes had 50 tokens
    assert found.tokens_out == 2 * 8
    assert how == {"m": "as the server counted those of known answers"}


def test_a_question_that_another_stage_asks_is_known() -> None:
    count = Count(judge())
    count.add(noted("a"), True)
    count.add(noted("b"), False)
    assert (line(count).known, line(count).to_send) == (1, 1)


def test_a_part_is_multiplied() -> None:
    count = counted(
        *(noted(f"{n} {TEXT}") for n in range(4)), noted("z", usage={"prompt_tokens": 5, "completion_tokens": 9})
    )
    found = line(count, 2.5)
    assert (found.basis, found.calls, found.known, found.to_send, found.assumed) == ("sample", 12, 2, 10, 10)
    assert line(count, 2.5, "params").basis == "params"


def test_without_a_price_or_an_endpoint_there_are_no_dollars() -> None:
    runtime_yaml("http://127.0.0.1:1/v1")
    assert line(counted(noted("a"))).dollars is None
    Path("runtime.yaml").write_text("{}")
    assert line(counted(noted("a"))).dollars is None
    local: Any = llm.load("models.x", {"provider": "transformers", "model": "no/such"})
    local.__dict__["endpoint"] = "transformers:0"
    count = Count(local)
    count.add(noted("a"), False)
    assert line(count).dollars == 0


def test_what_is_not_asked_has_a_line_of_its_own() -> None:
    ((found,), how) = cost.lines([Forecast(STAGE, None, basis="up to date")])
    assert (found.stage, found.basis, found.model, found.calls) == ("explain one llm", "up to date", None, 0)
    assert how == {}
