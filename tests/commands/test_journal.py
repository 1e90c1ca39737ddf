from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stages.cli import main
from stages.llm.call import Call, Usage
from stages.llm.journal.store import Cost, Journal, Limits
from stages.machine import runtime
from tests.llm.asking import runtime_yaml


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["journal", *arguments])


def fill() -> None:
    with Journal.at_home() as journal:
        for number in range(3):
            attempt = journal.begin(str(number), "lab", "m", Cost(100, 1.0), Limits())
            assert attempt is not None
            if number < 2:
                call = Call(str(number), "lab", "/p", 0, 200, b"{}", b"{}")
                journal.finish(attempt, call, Usage(1000, 10, 600), Cost(1010, 0.25))
        failed = journal.begin("9", "lab", "m", Cost(100, 1.0), Limits())
        assert failed is not None
        journal.fail(failed, 429, "busy", billed=False)


def test_without_a_journal_it_says_so_and_makes_none() -> None:
    assert "0 answers in 0.0 MB" in run().output
    assert not runtime.home().exists()


def test_it_shows_answers_tokens_spend_and_what_never_ended() -> None:
    fill()
    runtime_yaml("http://127.0.0.1:1/v1", budget={"dollars": 5.0, "calls": 10})
    said = run().output
    assert "2 answers in" in said
    assert "m at lab" in said
    assert "2 answers to 2,000 prompt tokens (1,200 of them cached by the server) with 20 tokens" in said
    assert "1 attempts failed, 1 never ended" in said
    assert "counted as spent: 3 calls, 2,120 tokens and $1.5000" in said
    assert "Budget of lab: 3 of 10 calls" in said
    assert "Budget of lab: 1.5 of 5.0 dollars" in said


def test_json_holds_the_same() -> None:
    fill()
    told = json.loads(run("--json").output)
    assert told["answers"] == 2
    assert told["bytes"] > 0
    assert told["spent"][0]["dollars"] == 1.5
    assert told["spent"][0]["unfinished"] == 1


def test_import_names_a_folder_without_transcripts(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    result = run("import", "data")
    assert result.exit_code == 1
    assert "expected a transcript.parquet in data, but there is none; dvc pull" in result.output
    assert run("import", "absent").exit_code == 2


def test_what_is_no_file_is_no_empty_journal() -> None:
    (runtime.home() / "journal.sqlite").mkdir(parents=True)
    found = run()
    assert found.exit_code == 1
    assert found.output.startswith("Error: expected a journal of answers in ")
    assert "Is a directory" in found.output
