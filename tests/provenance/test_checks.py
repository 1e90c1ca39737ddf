"""Edits that the tampering tests do not make, and the parts of checks that can be worked out by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages import paths
from stages.errors import GlossaError
from stages.outputs import write_table
from stages.provenance import identities, scores, transcripts
from stages.provenance.activations import Encoded, tolerance
from stages.provenance.check import KEPT, Check
from stages.provenance.project import Project
from tests.provenance.small import audit
from tests.provenance.tampering import Rows, edit

SCORES = paths.scores("one", "llm", "detection")


def failures(theme: Any) -> dict[str, list[str]]:
    found = {check.name: check for check in theme.checks(Project.here())}
    return {name: [f"{f.item}: {f.said}" for f in check.failures] for name, check in found.items() if check.failed}


def edit_json(path: Path, change: Callable[[dict], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_request_that_was_edited_is_named_by_its_row(project: Path) -> None:
    def change(rows: Rows) -> None:
        rows[2]["request"] = rows[2]["request"].replace('"temperature":0', '"temperature":1')

    edit(SCORES / "transcript.parquet", change)
    found = failures(transcripts)
    assert list(found) == ["keys"]
    (said,) = found["keys"]
    assert said.startswith(f"{SCORES}/transcript.parquet, row 2: has the key ")


def test_outputs_of_different_runs_are_told_apart(project: Path) -> None:
    def other(meta: dict) -> None:
        meta["tokens_sha256"] = "0" * 64

    edit_json(paths.explanations("two", "pattern") / "meta.json", other)
    assert failures(identities) == {
        "identities": [
            "data/explanations/two/pattern: was made from other tokens than data/tokens",
            "data/similarity: was made from another data/explanations/two/pattern than is here",
        ]
    }


def test_an_identity_that_was_made_up_is_found(project: Path) -> None:
    def other(meta: dict) -> None:
        meta["coder"]["k"] = 5

    edit_json(paths.examples("one") / "meta.json", other)
    (said, store, *links) = failures(identities)["identities"]
    assert said == "data/examples/one, coder: has a sha256 that is not that of what it lists"
    assert store == "data/latents/one.zarr, coder: is another than data/examples/one was made from"
    assert links == [
        f"data/explanations/one/{name}: was made from another data/examples/one than is here"
        for name in ("llm", "pattern")
    ]


def test_a_vocabulary_and_a_file_of_another_run_are_told_by_the_hashes_of_them(project: Path) -> None:
    for file in (paths.TOKENS / "vocabulary.parquet", paths.examples("two") / "latents.parquet"):
        write_table(file, pq.read_table(file).slice(1))
    assert failures(identities) == {
        "identities": [
            "data/examples/one: was made from another data/tokens than is here",
            "data/examples/two/latents.parquet: is not what its meta.json names",
            "data/examples/two: was made from another data/tokens than is here",
        ]
    }


def test_a_mean_and_a_metric_are_named_by_their_place(project: Path) -> None:
    def lift(meta: dict) -> None:
        meta["overall"]["own"]["balanced_accuracy"]["all"]["value"] += 0.1

    edit_json(SCORES / "meta.json", lift)
    found = failures(scores)
    assert found["means"] == [
        f"{SCORES}/meta.json, overall.own.balanced_accuracy.all.value: is not what the tables come to"
    ]
    assert [one.partition(":")[0] for one in found["metrics"]] == [
        "results/plots/measures.json, scores.one.llm.detection.score",
        "results/metrics/one.json.detection.llm",
    ]


def test_counts_and_kept_failures() -> None:
    check = Check("name", "covers")
    for number in range(KEPT + 5):
        check.expect(number % 2 == 1, f"item {number}", "differs")
    check.passed(3)
    check.skip("a", "gone")
    check.skip("b", "gone")
    with check.reading("c"):
        raise GlossaError("cut   short\nhere")
    told = check.to_dict()
    assert (told["checked"], told["failed"]) == (KEPT + 5 + 3 + 1, 14)
    assert told["failures"][-1] == {"item": "c", "said": "can't be read: cut short here"}
    assert told["not_checkable"] == [{"why": "gone", "n": 2, "items": ["a", "b"]}]


def test_only_the_first_failures_are_kept() -> None:
    check = Check("name", "covers")
    for number in range(KEPT + 5):
        check.fail(str(number), "differs")
    assert check.failed == KEPT + 5
    assert [failure.item for failure in check.failures] == [str(number) for number in range(KEPT)]


def test_parts_of_a_check_make_up_the_whole() -> None:
    whole, parts = Check("name", "covers"), [Check("name", "covers") for _ in range(2)]
    for number in range(2 * KEPT):
        for check in (whole, parts[number >= KEPT - 5]):
            check.fail(f"item {number}", "differs")
            check.skip(f"item {number}", "gone" if number % 2 else "lost")
            check.passed(number)
    found = Check("name", "covers")
    for part in parts:
        found.take(part)
    assert found == whole


def test_activations_are_looked_up_by_position_and_latent() -> None:
    # Latent 1 of 3 has 5.0 at position 0 and 7.0 at position 2; latent 2 has 1.0 at position 2.
    found = Encoded(np.array([1, 7, 8]), np.array([5, 7, 1], np.float32), np.array([5, np.inf, 1], np.float32), 3)
    rows = found.at(np.array([[0, 1, 2], [1, 2, 3]]), np.array([1, 2], np.int32))
    assert rows.tolist() == [[5, 0, 7], [0, 1, 0]]
    nothing = Encoded(np.array([], np.int64), np.array([], np.float32), np.array([], np.float32), 3)
    assert nothing.at(np.array([[0, 1]]), np.array([1], np.int32)).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("dtype", "cache", "allowed"),
    [
        ("float32", {"precision": "exact"}, 10 * 1e-3),
        ("float32", {"precision": "bf16"}, 10 * (1e-3 + 2**-8)),
        ("float32", {"dtype": "float16"}, 10 * 1e-2),
        ("bfloat16", {"dtype": "float16"}, 10 * 3e-2),
    ],
)
def test_the_tolerance_is_as_documented(dtype: str, cache: dict, allowed: float, project: Path) -> None:
    def change(params: dict) -> None:
        params["subject"]["dtype"], params["cache"] = dtype, cache

    edit_json(project / "params.yaml", change)
    assert tolerance(Project.here(), np.array([10.0, -10.0])) == pytest.approx([allowed, allowed])


def test_what_was_not_pulled_is_not_checked(project: Path) -> None:
    for out in ("latents", "examples", "scores", "similarity"):
        shutil.rmtree(f"data/{out}")
    shutil.rmtree("results/report")
    found = audit()
    assert {name: check["failures"] for name, check in found.items() if check["failed"]} == {}
    unknown = [part["why"] for part in found["explanations"]["not_checkable"]]
    assert "data/examples/one is not here; dvc pull brings what was pushed" in unknown


def test_a_file_that_is_missing_from_a_folder_is_a_failure(project: Path) -> None:
    (paths.explanations("one", "llm") / "meta.json").unlink()
    found = audit("--sample", "0")
    assert found["outputs"]["failed"]
    assert found["explanations"]["failed"]
