"""What no hash can tell: windows that were wrong from the beginning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from click.testing import CliRunner

from stages import params, paths
from stages.cli import main
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from stages.provenance import accounted, activations, chain, examples
from stages.provenance.check import Check
from stages.provenance.examples import dense
from stages.provenance.node import Node
from stages.provenance.project import Project
from tests.provenance.tampering import Rows, edit

WINDOWS = paths.examples("one") / "windows.parquet"


def found(theme: object = examples) -> dict[str, Check]:
    return {check.name: check for check in theme.checks(Project.here())}  # type: ignore[attr-defined]


def test_dense_windows_are_cut_out_of_a_latents_events() -> None:
    positions, values = np.array([3, 4, 9, 20]), np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    rows, fires = dense(np.array([0, 4, 12]), 4, positions, values)
    assert rows.tolist() == [[0, 0, 0, 1], [2, 0, 0, 0], [0, 0, 0, 0]]
    assert fires.tolist() == [True, True, False]


def test_a_test_window_that_was_shown_in_training_is_named(project: Path) -> None:
    def leak(rows: Rows) -> None:
        first = rows[0]["latent"]
        train = next(row for row in rows if row["latent"] == first and row["role"] == "train")
        test = next(row for row in rows if row["latent"] == first and row["role"] == "test" and row["kind"] is None)
        test.update({key: train[key] for key in ("start", "max", "activations")})

    edit(WINDOWS, leak)
    checks = found()
    assert checks["disjoint"].failed == 1
    assert "(t" in checks["disjoint"].failures[0].item
    assert "shares tokens with window" in checks["disjoint"].failures[0].said
    assert checks["windows"].failed == checks["silent"].failed == 0


def test_a_negative_in_which_the_latent_fires_is_named(project: Path) -> None:
    latent = 0

    def wake(rows: Rows) -> None:
        nonlocal latent
        negative = next(row for row in rows if row["kind"] == "random")
        latent = negative["latent"]
        positions, _ = LatentStore.open(paths.latents("one")).latent(latent)
        taken = {row["start"] for row in rows if row["latent"] == latent}
        negative["start"] = next(place // 8 * 8 for place in positions.tolist() if place // 8 * 8 not in taken)

    edit(WINDOWS, wake)
    checks = found()
    assert checks["silent"].failed == 1
    assert f"latent {latent}, window" in checks["silent"].failures[0].item
    assert checks["windows"].failed == 1


def test_a_latent_that_vanished_is_named(project: Path) -> None:
    edit(paths.explanations("two", "llm") / "explanations.parquet", lambda rows: rows[1:])
    edit(paths.scores("two", "llm", "detection") / "scores.parquet", lambda rows: rows[1:])
    checks = found(accounted)
    said = [f"{failure.item}: {failure.said}" for failure in checks["accounted"].failures]
    assert any("data/explanations/two/llm, latent" in line and "is missing" in line for line in said)
    assert any("data/scores/two/llm/detection: has scores of 5 latents, not of 6" in line for line in said)


def test_a_null_without_a_reason_is_named(project: Path) -> None:
    def empty(rows: Rows) -> None:
        rows[0]["explanation"] = None

    edit(paths.explanations("one", "pattern") / "explanations.parquet", empty)
    (check,) = found(accounted).values()
    assert any(failure.said == "has neither an explanation nor a reason" for failure in check.failures) or any(
        failure.said == "is missing" for failure in check.failures
    )


def test_first_columns_that_are_no_text_are_silent_in_windows_and_not_in_the_store(workplace: Path) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("bos: <|end|>", "bos: none"))
    for words in (["tokenize"], ["cache", "one"], ["cache", "two"], ["sample", "one"], ["sample", "two"]):
        assert CliRunner().invoke(main, words).exit_code == 0
    project = Project(params.load(), 200)
    meta = paths.examples("one") / "meta.json"
    said = json.loads(meta.read_text())
    assert said["skip_first"] == 1
    windows = pq.read_table(WINDOWS).to_pylist()
    first = [row["activations"][0] for row in windows if row["activations"] and row["start"] % 32 == 0]
    assert first
    assert not any(first)
    for check in (*examples.checks(project), *activations.of_rows(project, (0, 1))):
        assert check.checked
        assert not check.failed, check.failures
    latent = windows[0]["latent"]
    of_latent = next(iter(Examples.open(paths.examples("one")).of([latent])))
    node = Node("examples", "one")
    chain._as_stored("one", latent, said, 32, {"train": of_latent.train, "test": of_latent.test}, node)
    assert [fact.status for fact in node.facts] == ["ok"]

    del said["skip_first"]
    meta.write_text(json.dumps(said))
    assert {check.name: bool(check.failed) for check in examples.checks(project)} == {
        "disjoint": False,
        "silent": False,
        "windows": True,
    }
    assert activations.of_rows(project, (0, 1))[1].failed
