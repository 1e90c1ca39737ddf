from __future__ import annotations

import json
from typing import Any

import pytest

from stages.errors import GlossaError
from stages.llm.journal.store import Journal
from stages.llm.server import session
from tests.llm.asking import ask, judge, question
from tests.llm.conftest import Serve
from tests.llm.scripted_server import Action, Asked, completion, good, schema_of, verdicts


def is_form(asked: Asked) -> bool:
    return "the sea" in str(asked.body["messages"])


def ignores_the_schema(asked: Asked) -> Action:
    return completion(asked, content="The sea is blue.") if schema_of(asked.body) else good(asked)


def ignores_logprobs(asked: Asked) -> Action:
    return good(asked._replace(body={**asked.body, "logprobs": False}))


def ignores_the_limit(asked: Asked) -> Action:
    return completion(asked, usage={"prompt_tokens": 20, "completion_tokens": 900})


def ignores_the_seed(asked: Asked) -> Action:
    return completion(asked, content=None if schema_of(asked.body) else f"Once upon a time, {asked.n}")


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        (
            ignores_the_schema,
            {},
            "should answer in the form of a JSON schema, but .* set structured: none in params.yaml",
        ),
        (ignores_logprobs, {"logprobs": 5}, "should report log-probabilities, but .* set logprobs: 0 in params.yaml"),
        (ignores_the_limit, {}, "should keep to max_tokens, but .* set limit: max_completion_tokens in params.yaml"),
        (
            ignores_the_seed,
            {"seed": 3, "temperature": 1.0},
            "should give the same answer for the same seed, .* leave seed out",
        ),
    ],
)
def test_what_is_counted_on_and_ignored_ends_the_stage_before_any_question(
    serve: Serve, script: Any, options: dict[str, Any], said: str
) -> None:
    server = serve(script)
    with pytest.raises(GlossaError, match=rf"the model m at the endpoint lab {said}"):
        ask(20, **options)
    assert not any("Question" in str(call.body) for call in server.calls)
    sent = len(server.calls)
    with pytest.raises(GlossaError, match=said):
        ask(20, **options)
    assert len(server.calls) == 2 * sent  # it is tried anew, by as few questions
    assert not any("Question" in str(call.body) for call in server.calls)


def test_a_server_that_was_mended_is_used_at_once(serve: Serve) -> None:
    is_mended = False

    def script(asked: Asked) -> Action:
        return good(asked) if is_mended else ignores_the_schema(asked)

    server = serve(script)
    with pytest.raises(GlossaError, match="form of a JSON schema"):
        ask(1)
    is_mended = True
    assert ask(2)[0].content is not None
    tried = len(server.calls)
    ask(3)
    assert len(server.calls) == tried + 1  # and remembered as what it is now


@pytest.mark.parametrize(
    ("script", "options"),
    [
        (ignores_the_schema, {"structured": "none"}),
        (ignores_the_schema, {"structured": "object"}),
        (ignores_logprobs, {"logprobs": 0}),
        (ignores_the_seed, {"temperature": 1.0}),
    ],
)
def test_what_is_not_counted_on_may_be_ignored(serve: Serve, script: Any, options: dict[str, Any]) -> None:
    server = serve(script)
    ask(1, reasks=0, **options)
    assert "Question" in str(server.calls[-1].body)


def test_what_a_good_server_does_is_found_out_once(serve: Serve) -> None:
    server = serve()
    found = session.find_out(judge(logprobs=3, seed=1, temperature=0.9))
    assert found[:6] == (True, 3, True, True, True, None)
    assert found.unread is None
    assert found.came.startswith('"{')
    assert len(server.calls) == 4
    ask(1, logprobs=3, seed=1, temperature=0.9)
    assert len(server.calls) == 5
    assert session.find_out(judge())[:6] == (True, None, True, True, None, True)
    with Journal.at_home() as journal:
        assert len(journal) == 1  # what the server was tried with is no answer to keep
        (line,) = journal.ledger()
        assert line["answers"] == 8


@pytest.mark.parametrize("change", [{"model": "n"}, {"temperature": 0.5}, {"extra": {"x": 1}}, {"structured": "none"}])
def test_another_model_or_option_is_tried_anew(serve: Serve, change: dict[str, Any]) -> None:
    server = serve()
    ask()
    tried = len(server.calls)
    list(judge(**change).answer([question(1)]))
    assert len(server.calls) >= tried + 3


def test_a_server_at_another_address_is_tried_anew_but_its_answers_are_known(serve: Serve) -> None:
    serve()
    ask(5)
    other = serve()
    ask(5)
    assert not other.calls
    ask(6)
    assert len(other.calls) == 4  # three to try it


def test_many_calls_at_once_wait_for_one_probe(serve: Serve) -> None:
    server = serve(lambda asked: good(asked)._replace(delay=0.05), concurrency=50)
    ask(50)
    assert len(server.calls) == 53
    assert sum(map(is_form, server.calls)) == 1


def test_a_model_that_reasons_beyond_its_limit_is_told_apart_from_one_that_ignores_the_schema(serve: Serve) -> None:
    serve(lambda asked: completion(asked, content="", finish="length"))
    with pytest.raises(GlossaError, match="should answer within max_tokens: 50, but a single sentence was cut off"):
        ask()


def test_a_server_that_does_not_count_can_be_used(serve: Serve) -> None:
    serve(lambda asked: completion(asked, usage={}))
    found = session.find_out(judge())
    assert (found.usage, found.limit) == (False, None)
    assert ask()[0].content is not None


def test_the_seed_that_changes_nothing_is_no_fault(serve: Serve) -> None:
    serve(lambda asked: completion(asked, content=None if schema_of(asked.body) else "Always the same."))
    assert session.find_out(judge(seed=1, temperature=0.3)).seed is None


def test_an_unknown_endpoint_is_named(serve: Serve) -> None:
    serve()
    with pytest.raises(GlossaError, match=r"runtime.yaml has no endpoint lub, .* did you mean lab\?"):
        ask(endpoint="lub")


def in_parts(asked: Asked) -> Action:
    """The content as a list, as Mistral's reasoning models and OpenRouter send it."""
    said = json.loads(completion(asked).body)
    message = said["choices"][0]["message"]
    thoughts = {"type": "thinking", "thinking": [{"type": "text", "text": '{"a": false, "b": false}?'}]}
    text = message["content"]
    message["content"] = [thoughts, {"type": "text", "text": text[:5]}, {"type": "text", "text": text[5:]}]
    return Action(body=json.dumps(said).encode())


def reasons_only(asked: Asked) -> Action:
    """Nothing but thoughts, as vLLM sends an answer behind which thoughts never ended."""
    said = json.loads(completion(asked).body)
    message = said["choices"][0]["message"]
    message["reasoning_content"], message["content"] = message["content"], None
    return Action(body=json.dumps(said).encode())


def test_a_content_in_parts_is_an_answer(serve: Serve) -> None:
    server = serve(in_parts)
    assert [json.loads(answer.content or "") for answer in ask(4)] == [
        verdicts(call) for call in server.calls if "Question" in str(call.body)
    ]
    assert session.find_out(judge()).schema is True


@pytest.mark.parametrize("structured", ["schema", "object", "none"])
def test_a_server_that_puts_its_answers_elsewhere_is_shown_as_it_is_and_not_as_ignoring_the_schema(
    serve: Serve, structured: str
) -> None:
    server = serve(reasons_only)
    said = r"but the answer is all reasoning: it sent no content, and beside it the reasoning \""
    with pytest.raises(GlossaError, match=said):
        ask(5, structured=structured)
    assert not any("Question" in str(call.body) for call in server.calls)
    assert session.find_out(judge(structured=structured)).unread == "the answer is all reasoning"


def test_what_came_in_place_of_the_schema_is_shown(serve: Serve) -> None:
    serve(ignores_the_schema)
    with pytest.raises(
        GlossaError, match=r'but the server ignores that and answers "The sea is blue\."; set structured'
    ):
        ask()


def test_a_model_of_which_nothing_can_be_read_ends_the_stage_soon_and_every_time(serve: Serve) -> None:
    server = serve(lambda asked: completion(asked, content="It names files."), concurrency=4)
    for _ in range(2):
        with pytest.raises(
            GlossaError, match=r'of its first 20 answers none can be read \(the answer is no JSON; .*"It names'
        ):
            ask(200, structured="none", reasks=1)
        assert len(server.calls) < 3 + 2 * (20 + 8)


def test_a_model_that_is_read_now_and_then_or_refuses_is_used_on(serve: Serve) -> None:
    def script(asked: Asked) -> Action:
        number = asked.body["messages"][-1]["content"].split("\n")[0]
        return completion(asked, content="?") if "Question" in number and number != "Question 10" else good(asked)

    serve(script, concurrency=1)
    assert [number for number, answer in enumerate(ask(60, reasks=0)) if answer.content] == [10]
    serve(lambda asked: completion(asked, finish="content_filter" if "Question" in str(asked.body) else "stop"))
    assert {answer.reason for answer in ask(60, model="n")} == {"the model refused"}
