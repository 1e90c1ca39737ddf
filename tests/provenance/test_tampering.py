"""Every silent edit is found and named: by its bytes and, where someone has rewritten dvc.lock as well, by what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from stages import paths
from stages.errors import GlossaError
from stages.provenance import files
from stages.provenance.project import Project
from tests import warm
from tests.clones import ROOT
from tests.provenance.small import audit, commit
from tests.provenance.tampering import Rows, edit, flip, rewrite_fingerprints, rewrite_lock

LOCK = Path("pipelines/one/dvc.lock")
EXPLAIN = "pipelines/one/dvc.yaml:explain@llm"
EXPLANATIONS = paths.explanations("one", "llm")
SCORES = paths.scores("one", "llm", "detection")
STORE = paths.latents("one")


def a_byte_in_a_store() -> None:
    path = STORE / "activations/data/c/0"
    flip(path, path.stat().st_size // 2)


def a_swapped_explanation() -> None:
    def swap(rows: Rows) -> None:
        first, second = [row for row in rows if row["explanation"] is not None][:2]
        first["explanation"], second["explanation"] = second["explanation"], first["explanation"]

    edit(EXPLANATIONS / "explanations.parquet", swap)


def an_edited_answer() -> None:
    def change(rows: Rows) -> None:
        rows[0]["response"] = rows[0]["response"].replace("fires on", "fires in")

    edit(EXPLANATIONS / "transcript.parquet", change)


def a_changed_prompt() -> None:
    path = Path("stages/explainers/default.md")
    path.write_text(path.read_text().replace("the", "teh", 1))


def a_moved_example() -> None:
    def move(rows: Rows) -> None:
        taken = {row["start"] for row in rows if row["latent"] == rows[0]["latent"]}
        rows[0]["start"] = next(start for start in range(0, 3000, 8) if start not in taken)

    edit(paths.examples("one") / "windows.parquet", move)


def a_score() -> None:
    def raise_it(rows: Rows) -> None:
        rows[0]["score"] = 0.9375

    edit(SCORES / "scores.parquet", raise_it)


def a_verdict() -> None:
    def turn(rows: Rows) -> None:
        rows[0]["predicted"] = not rows[0]["predicted"]

    edit(SCORES / "verdicts.parquet", turn)


def a_param() -> None:
    path = Path("params.yaml")
    path.write_text(path.read_text().replace('"min_activations": 5', '"min_activations": 6'))


def a_coder_file() -> None:
    shutil.copy("coders/two/sae.safetensors", "coders/one/sae.safetensors")


def a_truncated_shard() -> None:
    path = STORE / "activations/indices/c/0"
    os.truncate(path, path.stat().st_size - 4)


def a_deleted_row_of_a_transcript() -> None:
    edit(SCORES / "transcript.parquet", lambda rows: rows[1:])


def a_rewritten_lock() -> None:
    (entry,) = list(Project.here().lock[EXPLAIN].outs)
    before, behind = LOCK.read_text().split("\n  explain@llm:\n")
    assert entry.md5
    behind = behind.replace(entry.md5, f"{'0' * 32}.dir", 1)
    LOCK.write_text(f"{before}\n  explain@llm:\n{behind}")


def here(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """Runs Python with the code of the current folder."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [".", path]))}
    return warm.run(["python", *arguments], Path.cwd(), environment)


def audit_here() -> dict[str, dict]:
    """An audit that fails, by the code of the current folder."""
    done = here("-m", "stages", "audit", "--json", "--sample", "0")
    assert done.returncode == 1, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


class Edit(NamedTuple):
    make: Callable[[], None]
    by_bytes: tuple[str, str]
    """A check of files that fails, and what its failure names."""
    by_content: tuple[tuple[str, str], ...] = ()
    """The same where dvc.lock has been rewritten to fit."""


EDITS = [
    Edit(
        a_byte_in_a_store,
        ("outputs", "one.zarr: is not what pipelines/one/dvc.yaml:cache wrote: activations/data/c/0 has changed"),
        (("stores", "one.zarr"),),
    ),
    Edit(
        a_swapped_explanation,
        ("outputs", "one/llm: is not what pipelines/one/dvc.yaml:explain@llm wrote: explanations.parquet has changed"),
        (("explanations", r"one/llm, latent \d+: explanation is"), ("identities", "explanations.parquet")),
    ),
    Edit(
        an_edited_answer,
        ("outputs", "pipelines/one/dvc.yaml:explain@llm wrote: transcript.parquet has changed"),
        (("explanations", "explanation is .*fires on.*should be .*fires in"), ("journal", "transcript.parquet, row 0")),
    ),
    Edit(
        a_moved_example,
        ("outputs", "examples/one: is not what pipelines/one/dvc.yaml:sample wrote: windows.parquet has changed"),
        (("windows", r"latent \d+, window \d+ \((train|test)\)"), ("activations", r"latent \d+, window")),
    ),
    Edit(
        a_score,
        (
            "outputs",
            "detection: is not what pipelines/one/dvc.yaml:score@llm-detection wrote: scores.parquet has changed",
        ),
        (("scores", r"latent \d+: score is 0.9375"), ("figures", r"latent \d+: score is 0.9375, should be")),
    ),
    Edit(
        a_verdict,
        (
            "outputs",
            "pipelines/one/dvc.yaml:score@llm-detection wrote: verdicts.parquet has changed",
        ),
        (("verdicts", r"latent \d+, window \d+: predicted is"), ("scores", r"latent \d+")),
    ),
    Edit(
        a_param,
        (
            "params",
            r"params.yaml, sampling.min_activations: is 6, was 5 when pipelines/one/dvc.yaml:sample and \d more ran",
        ),
    ),
    Edit(
        a_coder_file,
        ("inputs", r"coders/one: is not what pipelines/one/dvc.yaml:cache and \d more ran with"),
        (("weights", "coder one: is"), ("activations", "the subject and the coder give")),
    ),
    Edit(
        a_truncated_shard,
        ("outputs", "pipelines/one/dvc.yaml:cache wrote: activations/indices/c/0 has changed"),
        (("stores", r"one.zarr: can't be read: expected [\d,]+ bytes in .*activations/indices/c/0"),),
    ),
    Edit(
        a_deleted_row_of_a_transcript,
        (
            "outputs",
            "pipelines/one/dvc.yaml:score@llm-detection wrote: transcript.parquet has changed",
        ),
        (("prompts", "transcript.parquet: has no answer to the request"),),
    ),
    Edit(
        a_rewritten_lock,
        ("lock", "pipelines/one/dvc.lock, data/explanations/one/llm: pipelines/one/dvc.yaml:explain@llm wrote 0000"),
    ),
]


def names(edit: Edit) -> str:
    return edit.make.__name__


def said(check: dict) -> str:
    return "\n".join(f"{failure['item']}: {failure['said']}" for failure in check["failures"])


@pytest.mark.parametrize("edit", EDITS, ids=names)
def test_an_edit_is_found_by_its_bytes(edit: Edit, project: Path) -> None:
    edit.make()
    found = {check.name: check.to_dict() for check in files.checks(Project.here())}
    name, expected = edit.by_bytes
    assert re.search(expected, said(found[name])), said(found[name])
    assert {check for check in found if found[check]["failed"]} <= {name, "outputs"}


@pytest.mark.parametrize("edit", [edit for edit in EDITS if edit.by_content], ids=names)
def test_an_edit_is_found_by_what_it_says_when_the_lock_was_rewritten(edit: Edit, project: Path) -> None:
    edit.make()
    rewrite_lock()
    found = audit("--full")
    for name, expected in edit.by_content:
        assert re.search(expected, said(found[name])), (name, said(found[name]))
    assert not any(found[name]["failed"] for name in ("lock", "outputs", "inputs", "params", "code"))


def test_a_changed_prompt_is_found_by_what_would_be_sent(project: Path) -> None:
    a_changed_prompt()
    rewrite_lock()
    hide = "from tests.provenance.tampering import rewrite_fingerprints; rewrite_fingerprints()"
    assert here("-c", hide, path=str(ROOT)).returncode == 0
    found = audit_here()
    assert re.search(r"one/llm, latent \d+: turn 1 of \d+ \(system\) would say .*teh", said(found["prompts"]))
    assert {name for name in found if found[name]["failed"]} == {"prompts"}


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_changed_prompt_is_found_by_its_hash_and_named_if_git_can_tell(is_committed: bool, project: Path) -> None:
    if is_committed:
        commit()
    a_changed_prompt()
    metrics = Path("stages/scorers/metrics.py")
    metrics.write_text(f"{metrics.read_text()}\n# A remark, and in another file, changes nothing.\n")
    found = said(audit_here()["code"])
    if is_committed:
        assert re.search(r"default.md: is not what pipelines/one/dvc.yaml:explain@llm and 1 more ran with", found)
        assert "metrics.py" not in found
    else:
        assert "stages: has other code than pipelines/one/dvc.yaml:explain@llm and 1 more could execute" in found


def test_without_fingerprints_json_lock_files_are_compared_all_the_same(project: Path) -> None:
    Path("fingerprints.json").unlink()
    a_param()
    found = {check.name: check.to_dict() for check in files.checks(Project.here())}
    assert "sampling.min_activations: is 6, was 5 when" in said(found["params"])
    (gap,) = found["params"]["not_checkable"]
    assert (gap["why"], gap["items"]) == ("is not here; glossa wire makes it", ["fingerprints.json"])


def test_code_of_another_folder_does_not_vouch_for_this_one(project: Path) -> None:
    a_changed_prompt()
    with pytest.raises(GlossaError, match="expected the code of this project"):
        Project.here()


def test_a_param_that_was_edited_everywhere_is_told_by_what_made_json_notes(project: Path) -> None:
    a_param()
    rewrite_lock()
    rewrite_fingerprints()
    found = {check.name: check.to_dict() for check in files.checks(Project.here())}
    assert not any(check["failed"] for check in found.values())
    (gap,) = found["params"]["not_checkable"]
    assert gap["why"] == "does not have the values that the stage ran with, which are compared by their hash alone"
    assert gap["items"] == [
        "pipelines/one/made.json, sample one",
        "pipelines/two/made.json, sample two",
        "made.json, report",
    ]


@pytest.mark.parametrize("arguments", [[], ["--full"]])
def test_a_run_that_nobody_touched_has_no_failure(arguments: list[str], project: Path) -> None:
    found = audit(*arguments)
    assert not any(check["failed"] for check in found.values()), "".join(map(said, found.values()))
    unchecked = {name for name in found if not found[name]["checked"]}
    assert unchecked == {"held_out"}  # nothing is imported
    assert {entry["why"] for check in found.values() for entry in check["not_checkable"]} == {
        "no commit has one to compare with"
    }


def test_nothing_is_asked_or_written(project: Path) -> None:
    def state() -> dict[str, float]:
        ours = (path for path in project.rglob("*") if path.is_file() and "journal.sqlite" not in path.name)
        return {str(path): path.stat().st_mtime_ns for path in ours}

    before = state()
    audit()
    assert state() == before


def test_without_activations_it_says_what_it_could_not_check(project: Path) -> None:
    shutil.rmtree("data/latents")
    found = audit()
    assert not any(check["failed"] for check in found.values()), "".join(map(said, found.values()))
    for name in ("outputs", "stores", "silent", "windows"):
        (entry,) = found[name]["not_checkable"]
        assert entry["n"] == 2, entry
    assert found["activations"]["checked"] > 0  # the subject and the coders are here


def test_a_subject_that_is_not_here_is_no_failure_of_the_data(project: Path) -> None:
    shutil.rmtree("subject")
    shutil.rmtree("coders")
    found = audit()
    assert {name for name in found if found[name]["failed"]} == set()
    assert found["activations"]["not_checkable"][0]["why"] == "the subject is not here"
