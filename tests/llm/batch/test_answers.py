from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from stages.llm.batch import answers, questions
from stages.llm.batch.answers import Imported
from stages.llm.batch.questions import Exported, Writer
from stages.llm.journal.store import Journal
from stages.machine.endpoint import Price
from tests.llm.asking import question
from tests.llm.batch.test_questions import noted
from tests.llm.scripted_server import Asked, completion

N = 10


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    (tmp_path / "out").mkdir()
    writer = Writer(tmp_path / "out", 4)
    for number in range(N):
        writer.add(noted(question(number)))
    writer.finish(("explain", "one", "llm"))
    return Exported(tmp_path / "out" / questions.MANIFEST)


def results_of(exported: Exported, **options: Any) -> list[dict[str, Any]]:
    """What a runner of batches answers to an export."""
    found = []
    for file in exported.files:
        for line in (exported.folder / file["name"]).read_text().splitlines():
            asked = json.loads(line)
            body = json.loads(completion(Asked(asked["custom_id"], asked["body"], 1, {}), **options).body)
            response = {"status_code": 200, "request_id": "r", "body": body}
            found.append({"id": "batch-1", "custom_id": asked["custom_id"], "response": response, "error": None})
    return found


def bring_in(exported: Exported, *lines: str, price: Price | None = None) -> Imported:
    path = exported.folder / "results.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines))
    with Journal.at_home() as journal:
        return answers.bring_in(journal, exported, [path], {("lab", "m"): price} if price else {})


def test_answers_are_kept_under_their_keys_in_any_order(exported: Exported) -> None:
    lines = [json.dumps(result) for result in results_of(exported)]
    random.Random(0).shuffle(lines)
    found = bring_in(exported, *lines)
    assert (found.new, found.known, found.missing, found.models) == (N, 0, 0, {"m": N})
    with Journal.at_home() as journal:
        for key in exported.places:
            call = journal[key]
            assert call == exported.call(key, call.response, 200)
            assert json.loads(call.response)["model"] == "m"
    again = bring_in(exported, *lines)
    assert (again.new, again.known, again.missing) == (0, N, 0)


def test_what_they_cost_counts_as_spent_once(exported: Exported) -> None:
    lines = [json.dumps(result) for result in results_of(exported)]
    price = Price(input=100.0, output=1000.0, batch=0.5)
    bring_in(exported, *lines[:6], price=price)
    bring_in(exported, *lines, price=price)
    usages = [json.loads(line)["response"]["body"]["usage"] for line in lines]
    prompt, completion = (sum(usage[name] for usage in usages) for name in ("prompt_tokens", "completion_tokens"))
    with Journal.at_home() as journal:
        calls, tokens, dollars = journal.spent("lab")
        (spent,) = journal.ledger()
    assert (calls, tokens) == (N, prompt + completion)
    assert dollars == pytest.approx((prompt * 100 + completion * 1000) / 1e6 / 2)
    assert (spent["answers"], spent["attempts"], spent["unfinished"]) == (N, N, 0)
    assert (spent["prompt_tokens"], spent["completion_tokens"]) == (prompt, completion)


def test_an_answer_without_counted_tokens_costs_what_it_can_at_most(exported: Exported) -> None:
    bring_in(exported, json.dumps(results_of(exported, usage={})[0]))
    first = exported.call(next(iter(exported.places)), b"", 200).request
    with Journal.at_home() as journal:
        assert journal.spent("lab") == (1, len(first) + 256 + 50, 0)


def test_lines_that_can_t_be_used_are_named_and_the_others_kept(exported: Exported) -> None:
    good = results_of(exported)
    keys = [result["custom_id"] for result in good]
    empty = {**good[2]["response"], "body": {"choices": []}}
    lines = [
        json.dumps(good[0]),
        "",
        json.dumps(good[0]),  # again
        json.dumps({**good[1], "custom_id": "ab" * 32}),  # to nobody's question
        json.dumps({**good[1], "custom_id": "request-1"}),
        json.dumps(
            {"custom_id": keys[2], "response": None, "error": {"code": "expired", "message": "too \x1b[31mlate"}}
        ),
        json.dumps({"custom_id": keys[3], "response": {"status_code": 500, "body": {"error": {"message": "no"}}}}),
        json.dumps({**good[2], "response": empty}),
        json.dumps({**good[2], "response": {**good[2]["response"], "status_code": 429}}),
        json.dumps(good[4])[:80],  # cut off
        "null",
        json.dumps({"id": "batch-1"}),
        json.dumps({"custom_id": keys[4]}),
        json.dumps({**good[4], "response": {"body": good[4]["response"]["body"]}}),
        json.dumps({**good[4], "response": {**good[4]["response"], "body": {"choices": [float("nan")]}}}),
        json.dumps({**good[4], "response": {**good[4]["response"], "body": {"id": "\ud800"}}}),
        json.dumps(good[5]),
    ]
    found = bring_in(exported, *lines)
    assert (found.new, found.missing) == (2, N - 2)
    path = exported.folder / "results.jsonl"
    assert (found.repeated.n, found.repeated.examples) == (1, [f"{path}:3"])
    assert (found.foreign.n, found.foreign.examples) == (2, [f"{path}:4: {'ab' * 32}", f"{path}:5: request-1"])
    assert (found.failed.n, found.failed.examples) == (
        4,
        [f"{path}:6: too late", f"{path}:7: 500 (no)", f"{path}:8: 200 with no choices"],
    )
    assert (found.damaged.n, found.damaged.examples) == (
        7,
        [f"{path}:10: no whole JSON", f"{path}:11: no custom_id", f"{path}:12: no custom_id"],
    )
    with Journal.at_home() as journal:
        assert [key in journal for key in keys] == [True, False, False, False, False, True] + [False] * 4


def test_a_later_line_may_answer_what_an_earlier_one_did_not(exported: Exported) -> None:
    good = results_of(exported)[0]
    failed = {"custom_id": good["custom_id"], "response": None, "error": {"message": "busy"}}
    found = bring_in(exported, json.dumps(failed), json.dumps(good))
    assert (found.failed.n, found.new) == (1, 1)


def test_a_refused_prompt_is_an_answer(exported: Exported) -> None:
    key = next(iter(exported.places))
    body = {"error": {"code": "content_filter", "message": "no"}}
    found = bring_in(exported, json.dumps({"custom_id": key, "response": {"status_code": 400, "body": body}}))
    assert (found.new, found.failed.n) == (1, 0)


def test_an_answer_of_another_model_is_told(exported: Exported) -> None:
    good = results_of(exported)
    good[0]["response"]["body"]["model"] = "m-2026-10-01"
    good[1]["response"]["body"].pop("model")
    found = bring_in(exported, *map(json.dumps, good))
    assert found.models == {"m": N - 2, "m-2026-10-01": 1, "a model without a name": 1}
