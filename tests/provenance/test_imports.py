"""Imported explanations in an audit and a trace: whether they were written from the windows that they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stages import params, paths
from stages.cli import main
from stages.explainers import table
from stages.explainers.written import OTHER_WINDOWS
from stages.provenance import imports
from stages.provenance.check import Check
from stages.provenance.node import Fact
from stages.provenance.project import Project
from tests.rating.answered import furnish_rated, row, write

HAND = "explainers: {hand: {kind: imported, path: w.jsonl}"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two coders, of which latents 2 and 7 are kept."""
    monkeypatch.chdir(tmp_path)
    furnish_rated(tmp_path)


def explained(*rows: dict[str, Any], entries: str = "}") -> None:
    """Imports rows, and has params.yaml name no other explainer."""
    write(Path("w.jsonl"), *rows)
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(
        text.replace("explainers: {pattern: {kind: pattern}, llm: {kind: default}}", HAND + entries)
    )
    for coder in ("one", "two"):
        for explainer in params.load().explainers:
            result = CliRunner().invoke(main, ["explain", coder, explainer])
            assert result.exit_code == 0, result.output


def checked() -> Check:
    (found,) = imports.checks(Project(params.load(), 20))
    return found


def edited(latent: int, **changes: Any) -> None:
    """Changes what the table says an explanation rests on."""
    folder = paths.explanations("one", "hand")
    found, meta = table.read(folder)
    rows = [
        table.Explanation(one["latent"], one["explanation"], one["reason"], json.loads(one["evidence"]), one["request"])
        for one in found.to_pylist()
    ]
    table.write(
        folder, [one._replace(evidence=one.evidence | (changes if one.latent == latent else {})) for one in rows], meta
    )


def traced(latent: int) -> dict[str, Fact]:
    rows = table.read(paths.explanations("one", "hand"))[0].to_pylist()
    (node,) = imports.file_of(next(one for one in rows if one["latent"] == latent), "one")
    assert node.kind == "imported row"
    return {fact.name: fact for fact in node.facts}


def test_what_is_held_out_is_looked_at_and_who_wrote_it_told() -> None:
    explained(row(2, "Cats", by="Ada"), row(7, "Dogs"))
    found = checked()
    assert (found.name, found.checked, found.failed, found.unknown) == ("held_out", 2, 0, {})
    assert "hand: hand-written by Ada, from the train windows" in found.covers
    facts = traced(2)
    assert facts["made by"].value == "hand-written by Ada, from the train windows"
    assert facts["sha256"].status == facts["20 windows"].status == "ok"


def test_other_windows_are_no_failure_unless_the_table_denies_it() -> None:
    explained(row(2, "Cats", windows_sha256="0" * 64), row(7, "Dogs"))
    found = checked()
    assert (found.checked, found.failed, list(found.unknown)) == (1, 0, [OTHER_WINDOWS])
    assert traced(2)["20 windows"] == Fact("20 windows", "0" * 64, None, f"not held out: {OTHER_WINDOWS}")
    edited(2, held_out=True)
    (failure,) = checked().failures
    assert failure == ("data/explanations/one/hand, latent 2", "is said to be held out, but is not so")
    assert traced(2)["20 windows"].status == "differs"
    edited(2, held_out=False)
    edited(7, held_out=False)
    (failure,) = checked().failures
    assert failure == ("data/explanations/one/hand, latent 7", "is said to be not held out, but is so")


def test_a_row_that_changed_or_went_is_found() -> None:
    explained(row(2, "Cats"))
    write(Path("w.jsonl"), row(7, "new"), row(2, "Cats"))
    assert traced(2)["sha256"].status == "ok"
    write(Path("w.jsonl"), row(2, "Cats!"))
    assert traced(2)["sha256"] == Fact("sha256", traced(2)["sha256"].value, "differs", "the file has no such line")
    Path("w.jsonl").unlink()
    assert traced(2)["sha256"].status == "unchecked"


def test_what_others_made_is_not_checked() -> None:
    Path("theirs").mkdir()
    Path("theirs/x").write_text('{"2": "Cats"}')
    theirs = ", theirs: {kind: imported, format: json, path: theirs, coders: {one: x}, made_by: GPT-4o}}"
    explained(row(7, "Dogs"), entries=theirs)
    found = checked()
    assert (found.checked, found.failed) == (1, 0)
    assert found.unknown == {imports.UNSEEN: ["data/explanations/one/theirs"]}
    assert "theirs: GPT-4o" in found.covers
    stored = table.read(paths.explanations("one", "theirs"))[0].to_pylist()[0]
    (node,) = imports.file_of(stored, "one")
    assert (node.kind, node.name) == ("imported file", "theirs/x")
    (made,) = [fact for fact in node.facts if fact.name == "made by"]
    assert (made.value, made.status) == ("GPT-4o", "unchecked")


def test_a_project_without_any_has_nothing_to_check() -> None:
    found = checked()
    assert (found.checked, found.failed, found.unknown) == (0, 0, {})
    assert found.covers == "imported explanations, and the train windows that they say they were made from"
