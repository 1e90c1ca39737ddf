from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from tests.llm.asking import JUDGE, runtime_yaml
from tests.llm.refusing import WORDINGS, refusing
from tests.llm.scripted_server import Server


@pytest.fixture
def server(workplace: Path) -> Iterator[Server]:
    models = {"judge": {**JUDGE, "logprobs": 3}, "built_in": {"provider": "pattern"}}
    with Path("params.yaml").open("a") as file:
        file.write(f"models: {json.dumps(models)}\n")
    with Server() as server:
        runtime_yaml(server.url)
        yield server


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["probe", *arguments])


def test_it_says_what_the_server_does_and_tries_it_each_time(server: Server) -> None:
    result = run("judge")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        f"m at lab, {server.url}",
        "  takes instructions as a system turn      yes",
        "  answers in the form of a JSON schema     yes",
        "  reports log-probabilities                the 3 likeliest",
        "  counts tokens                            yes",
        "  keeps to the limit of tokens             yes",
        "  repeats itself for the same seed         not tried",
        "  repeats itself at temperature 0          yes",
        '  said, when asked for a sentence          "{"a": true, "b": false}"',
    ]
    assert len(server.calls) == 3
    assert json.loads(run("judge", "--json").output)["logprobs"] == 3
    assert len(server.calls) == 6


@pytest.mark.parametrize("wording", WORDINGS)
def test_it_asks_as_the_stages_do_and_says_where_instructions_stand(server: Server, wording: str) -> None:
    server.script = refusing(wording)
    result = run("judge")
    assert result.exit_code == 0, result.output
    said = "  takes instructions as a system turn      no, so they begin the user's first turn"
    assert result.output.splitlines()[1] == said
    roles = [[turn["role"] for turn in call.body["messages"]] for call in server.calls]
    assert roles == [["system", "user"]] + [["user"]] * 3
    assert json.loads(run("judge", "--json").output)["system"] is False


def test_it_reaches_the_server_as_the_stages_do(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime_yaml(server.url, headers={"api-key": "$LAB_KEY"}, query={"api-version": "1"})
    result = run("judge")
    assert result.exit_code == 1
    assert "in the environment variable LAB_KEY, but it is not set" in result.output
    monkeypatch.setenv("LAB_KEY", "a-canary-of-the-lab")
    result = run("judge")
    assert result.exit_code == 0
    assert "canary" not in result.output
    assert {(call.headers["api-key"], call.path) for call in server.calls} == {
        ("a-canary-of-the-lab", "/v1/chat/completions?api-version=1")
    }


@pytest.mark.parametrize(
    ("model", "said"),
    [("juge", "params.yaml has no model juge; did you mean judge?"), ("built_in", "is built in, there is no server")],
)
def test_a_model_without_a_server_is_named(server: Server, model: str, said: str) -> None:
    result = run(model)
    assert result.exit_code == 1
    assert said in result.output
