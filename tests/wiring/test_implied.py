"""What stages read beside their dependencies: that it is named by what they depend on, and what is missing is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages import params, paths, plan
from stages.cli import main
from stages.corpus.tokens import Tokens, identity_of
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.outputs import file_sha256, identity
from stages.wiring import coder, implied, matrix, root


@pytest.fixture
def finished(finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished folder, the current one."""
    shutil.copytree(finished_workplace, tmp_path / "finished")
    monkeypatch.chdir(tmp_path / "finished")
    return tmp_path / "finished"


def glossa(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == code, result.output
    return result.output


def meta(folder: Path) -> dict:
    return json.loads((folder / "meta.json").read_text())


def test_every_output_names_what_is_in_it_and_what_it_was_made_from(finished: Path) -> None:
    glossa("explain", "one", "pattern")
    examples, explanations = meta(paths.examples("one")), meta(paths.explanations("one", "pattern"))
    assert examples["made_from"] == {"data/tokens": identity_of(Tokens.open())}
    assert explanations["made_from"] == {"data/examples/one": identity(paths.examples("one"))}
    for folder, names in (
        (paths.examples("one"), examples["files"]),
        (paths.explanations("one", "pattern"), explanations["files"]),
    ):
        assert names == {file.name: file_sha256(file) for file in folder.iterdir() if file.name != "meta.json"}


@pytest.mark.parametrize("name", ["meta.json", "vocabulary.parquet", "documents.parquet"])
def test_whatever_changes_of_the_tokens_is_seen_by_who_reads_windows(finished: Path, name: str) -> None:
    before, file = identity_of(Tokens.open()), paths.TOKENS / name
    file.write_bytes(file.read_bytes() + b"\n")
    assert identity_of(Tokens.open()) != before
    with pytest.raises(
        GlossaError,
        match="the windows in data/examples/one were taken from other tokens than data/tokens; run dvc repro",
    ):
        next(iter(Examples.open(paths.examples("one"))))
    file.unlink()
    if name != "meta.json":
        with pytest.raises(GlossaError, match=f"expected data/tokens/{name}, but there is no such file; run dvc repro"):
            identity_of(Tokens.open())


def test_examples_that_name_no_tokens_are_read(finished: Path) -> None:
    file = paths.examples("one") / "meta.json"
    older = {key: value for key, value in meta(paths.examples("one")).items() if key not in ("made_from", "files")}
    file.write_text(json.dumps(older))
    assert next(iter(Examples.open(paths.examples("one")))).latent >= 0


def test_a_change_of_the_examples_changes_explanations_that_say_the_same(finished: Path) -> None:
    glossa("explain", "one", "pattern")
    folder = paths.explanations("one", "pattern")
    said, before = (folder / "explanations.parquet").read_bytes(), identity(folder)
    glossa("explain", "one", "pattern")
    assert identity(folder) == before
    file = paths.examples("one") / "meta.json"
    file.write_text(json.dumps(meta(paths.examples("one")) | {"note": 1}))
    glossa("explain", "one", "pattern")
    assert (folder / "explanations.parquet").read_bytes() == said
    assert identity(folder) != before


def test_what_is_implied_is_an_output_that_comes_before(finished: Path) -> None:
    """Behind the dependencies of a stage, those of their stages and so on, lies all that it reads."""
    p = params.load()
    p = p.model_copy(update={"scorers": {"detection": {"kind": "detection"}, "intruder": {"kind": "intruder"}}})
    blocks = root.blocks(p)
    listed = {name: {line.strip("- ") for line in blocks[f"{name}.data"]} for name in ("compare", "report")}
    deps = {"data/similarity": listed["compare"], "results": listed["report"] | {"data/similarity"}}
    for stages in coder.stages(p).values():
        deps |= {_out(stage): set(stage["deps"]) for stage in matrix.filled(stages).values()}

    def behind(path: str) -> set[str]:
        return {path}.union(*map(behind, deps.get(path, ())))

    stages = [("explain", c, e) for c in p.coders for e in p.explainers] + [
        ("score", *triple) for triple in plan.wanted(p)
    ]
    assert len(stages) == 6
    for words in [*stages, ("compare",), ("report",)]:
        out = {
            "explain": "data/explanations/",
            "score": "data/scores/",
            "compare": "data/similarity",
            "report": "results",
        }
        path = out[words[0]] + "/".join(words[1:])
        found = {str(one) for one in implied.of(p, words)}
        assert found
        assert not found & deps[path], "it is no dependency"
        assert found <= behind(path)
    assert implied.of(p, ("sample", "one")) == implied.of(p, ("tokenize",)) == []


def _out(stage: dict) -> str:
    (out,) = stage["outs"]
    return next(iter(out)) if isinstance(out, dict) else out


def test_nothing_is_fetched_where_all_is_here_or_nobody_runs_dvc(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(implied.subprocess, "run", lambda *_, **__: pytest.fail("it asks DVC"))
    monkeypatch.setenv(implied.STAGE, "x")
    implied.fetch(params.load(), ("explain", "one", "pattern"))
    shutil.rmtree("data/tokens")
    implied.fetch(params.load(), ("sample", "one"))
    monkeypatch.delenv(implied.STAGE)
    assert "expected glossa/tokens in data/tokens" in glossa("explain", "one", "pattern", code=1)
