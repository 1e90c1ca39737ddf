"""A score stage whose judge is a server: what it writes, what it sends, what it does again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages import paths
from stages.scorers import table
from tests.llm.asking import JUDGE, move_into, run, runtime_yaml
from tests.llm.scripted_server import Action, Asked, Server, completion, good

OUT = paths.scores("one", "pattern", "detection")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(autouse=True)
def place(tmp_path: Path, finished_workplace: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = move_into(tmp_path / "place", finished_workplace, server.url, monkeypatch)
    entry = {"kind": "detection", "model": {**JUDGE, "logprobs": 5}, "examples_per_prompt": 4, "latents": 6}
    with Path("params.yaml").open("a") as file:
        file.write(f"scorers:\n  detection: {json.dumps(entry)}\n")
    assert run("explain", "one", "pattern").exit_code == 0
    return folder


def score() -> dict[str, bytes]:
    """Runs the stage; returns what it wrote."""
    result = run("score", "one", "pattern", "detection")
    assert result.exit_code == 0, result.output
    return {file.name: file.read_bytes() for file in OUT.iterdir()}


def test_the_pattern_explainer_writes_no_transcript() -> None:
    assert sorted(file.name for file in paths.explanations("one", "pattern").iterdir()) == [
        "explanations.parquet",
        "meta.json",
    ]


def test_every_verdict_points_at_the_call_that_brought_it(server: Server) -> None:
    assert {"meta.json", "scores.parquet", "transcript.parquet", "verdicts.parquet"} <= score().keys()
    verdicts = table.read_verdicts(OUT).to_pylist()
    calls = {row["key"]: row for row in pq.read_table(OUT / "transcript.parquet").to_pylist()}
    assert {verdict["request"] for verdict in verdicts} == set(calls)
    assert len(server.calls) == len(calls) + 3
    for verdict in verdicts:
        assert verdict["value"] == pytest.approx(0.8 if verdict["predicted"] else 0.2)
    _, meta = table.read(OUT)
    assert meta["models_answered"] == ["m"]
    assert meta["probabilities"] == {"exact": len(verdicts)}


def test_a_rerun_sends_nothing_and_writes_the_same_bytes(server: Server) -> None:
    first = score()
    sent = len(server.calls)
    shutil.rmtree(OUT)
    assert score() == first
    assert len(server.calls) == sent


def test_prompts_of_the_stage_begin_alike_and_a_latents_calls_follow_each_other(server: Server) -> None:
    runtime_yaml(server.url, concurrency=1)
    score()
    asked = [call.body["messages"] for call in server.calls[3:]]
    assert len({messages[0]["content"] for messages in asked}) == 1
    explanations = [messages[1]["content"].split("\n\nExamples:")[0] for messages in asked]
    changes = sum(one != other for one, other in pairwise(explanations))
    assert changes <= 11  # six latents, each with its own explanation and with another's


def test_on_another_machine_the_transcripts_of_a_pull_are_enough(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score()
    sent = len(server.calls)
    monkeypatch.setenv("GLOSSA_HOME", str(tmp_path / "another"))
    result = run("journal", "import", "data")
    assert (result.exit_code, result.output) == (0, f"{sent - 3} answers are new, 0 known, from 1 transcript\n")
    assert json.loads(run("journal", "import", "data/scores", "--json").output) == {
        "transcripts": 1,
        "new": 0,
        "known": sent - 3,
        "refused": 0,
    }
    assert score() == first
    assert len(server.calls) == sent


def test_what_a_judge_leaves_unsaid_is_unscored_and_never_false(server: Server) -> None:
    def script(asked: Asked) -> Action:
        question = asked.body["messages"][-1]["content"].partition("\n\n(")[0]
        return completion(asked, content="Hm.") if len(question) % 2 and "Examples" in question else good(asked)

    server.script = script
    score()
    verdicts = table.read_verdicts(OUT).to_pylist()
    unscored = [verdict for verdict in verdicts if verdict["predicted"] is None]
    assert all(verdict["reason"] == "the answer is no JSON" and verdict["value"] is None for verdict in unscored)
    assert unscored
    assert len(unscored) < len(verdicts)


def test_a_server_that_fails_leaves_no_output_but_its_answers(server: Server) -> None:
    server.script = lambda asked: Action(403) if len(server.calls) > 20 else good(asked)
    result = run("score", "one", "pattern", "detection")
    assert result.exit_code == 1
    assert "403" in result.output
    assert "Traceback" not in result.output
    assert not OUT.exists()
    assert not list(Path("data").rglob(".*"))
    assert "answers in" in run("journal").output
