"""``transformers serve``, which takes a schema and log-probabilities and gives neither, and a model that says nothing of sense."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stages import paths
from stages.cli import main
from stages.errors import GlossaError
from stages.llm import load
from stages.llm.providers.openai import Options
from stages.llm.server import session
from stages.scorers import table as scores
from tests.llm import tiny_chat
from tests.llm.asking import question, runtime_yaml
from tests.llm.real_servers import contents, free_port, furnish, glossa, running

for package in ("accelerate", "fastapi", "uvicorn"):
    pytest.importorskip(package, reason="transformers serve needs it; pip install -e '.[test]'")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tiny_chat.make(tmp_path_factory.mktemp("tiny"))
    return {"provider": "openai", "endpoint": "lab", "model": str(folder), "max_tokens": 60}


@pytest.fixture(scope="module")
def url(model: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model["model"], *options]
    with running(command, port, tmp_path_factory.mktemp("serve") / "log") as url:
        yield url


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asking(model: dict[str, Any], **options: Any) -> Options:
    found = load("model", {**model, **options})
    assert isinstance(found, Options)
    return found


def test_the_probe_finds_out_what_it_ignores(url: str, model: dict[str, Any]) -> None:
    runtime_yaml(url, concurrency=1)
    found = session.find_out(asking(model, logprobs=3))
    assert {name: value for name, value in found._asdict().items() if name not in ("came", "unread")} == {
        "schema": False,
        "logprobs": 0,
        "usage": True,
        "limit": True,
        "seed": None,
        "repeats": True,
        "system": True,
    }
    assert session.find_out(asking(model, structured="none", temperature=1.0, seed=1)).seed is True


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "answer in the form of a JSON schema, .* set structured: none in params.yaml"),
        ({"structured": "none", "logprobs": 3}, "report log-probabilities, .* set logprobs: 0 in params.yaml"),
    ],
)
def test_what_it_ignores_is_not_counted_on(url: str, model: dict[str, Any], options: Any, said: str) -> None:
    runtime_yaml(url, concurrency=1)
    with pytest.raises(GlossaError, match=said):
        list(asking(model, **options).answer([question(1)]))


def test_nothing_is_made_of_texts_without_sense(
    url: str, model: dict[str, Any], finished_workplace: Path, place: Path
) -> None:
    plain = {**model, "structured": "none", "reasks": 0}
    furnish(finished_workplace, place, url, {**plain, "temperature": 1.0, "seed": 1}, {**plain, "reasks": 1})
    result = CliRunner().invoke(main, ["explain", "one", "written"])  # 24 questions
    assert result.exit_code == 1
    assert "of its first 20 answers none can be read" in result.output
    assert not paths.explanations("one", "written").exists()
    glossa("explain", "one", "pattern")
    glossa("score", "one", "pattern", "detection")  # fewer questions
    judged = paths.scores("one", "pattern", "detection")
    verdicts = scores.read_verdicts(judged)
    assert verdicts["predicted"].null_count == verdicts["value"].null_count == len(verdicts) > 50
    assert verdicts["reason"].null_count == verdicts["request"].null_count == 0
    assert set(scores.read(judged)[0]["score"].to_pylist()) == {None}
    before = contents(judged)
    assert "transcript.parquet" in str(sorted(before))
    spent = glossa("journal", "--json")
    glossa("score", "one", "pattern", "detection")
    assert contents(judged) == before
    assert glossa("journal", "--json") == spent
