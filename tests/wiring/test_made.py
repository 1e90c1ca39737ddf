from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages import params
from stages.cli import main
from stages.wiring import fingerprints, made


@pytest.fixture
def tokenized(workplace: Path) -> params.Params:
    """A project whose first stage has run as DVC runs it, after ``code``."""
    for words in (["code"], ["tokenize"]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
    return params.load()


def test_what_a_stage_was_made_with_is_noted(tokenized: params.Params) -> None:
    entry = made.read(Path("made.json"))["tokenize"]
    assert entry["fingerprint"] == fingerprints.read()["tokenize"]
    assert entry["fingerprint"].endswith(f"params {fingerprints.hash_of(entry['params'])}"), (
        "so dvc.lock vouches for the values"
    )
    assert entry["params"]["corpus"]["path"] == "texts"
    assert entry["params"]["subject.model"] == "subject"
    assert set(entry["packages"]) == set(made.PACKAGES)
    assert made.warning() is None


def test_a_stage_that_fails_or_is_run_without_fingerprints_leaves_no_note(workplace: Path) -> None:
    assert CliRunner().invoke(main, ["tokenize"]).exit_code == 0
    assert not Path("made.json").exists()
    assert CliRunner().invoke(main, ["code"]).exit_code == 0
    assert CliRunner().invoke(main, ["sample", "one"]).exit_code == 1
    assert not Path("pipelines/one/made.json").exists()


def test_other_versions_are_said(tokenized: params.Params) -> None:
    found = json.loads(Path("made.json").read_text())
    found["tokenize"]["packages"] |= {"torch": "1.0", "tokenizers": "0.1"}
    Path("made.json").write_text(json.dumps(found))
    said = made.warning()
    assert said is not None
    assert said.startswith("some outputs were made with other versions than are installed: tokenizers 0.1 (here ")
    assert "torch 1.0 (here " in said


@pytest.mark.parametrize("damaged", ["", "[]", "{", "\0"])
def test_a_damaged_note_is_made_anew(tokenized: params.Params, damaged: str) -> None:
    before = Path("made.json").read_text()
    Path("made.json").write_text(damaged)
    assert made.warning() is None
    made.record(tokenized, ["tokenize"])
    assert Path("made.json").read_text() == before


@pytest.mark.parametrize(
    ("words", "key", "place"),
    [
        (["tokenize"], "tokenize", "made.json"),
        (["cache", "one"], "coders.one.cache", "pipelines/one/made.json"),
        (["explain", "one", "llm"], "coders.one.explain.llm", "pipelines/one/made.json"),
        (["score", "one", "llm", "fuzzing"], "coders.one.score.fuzzing", "pipelines/one/made.json"),
        (["score", "one", "latent", "odd"], "coders.one.score.odd", "pipelines/one/made.json"),
        (["report"], "report", "made.json"),
    ],
)
def test_where_it_is_noted(words: list[str], key: str, place: str) -> None:
    assert made.key_of(words) == key
    assert made.place(key) == Path(place)
