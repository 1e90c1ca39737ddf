"""A colleague who goes on from what was published."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.parquet as pq

from tests.llm.scripted_server import Server
from tests.repositories import Repository
from tests.share.sharing import (
    CODERS,
    LLM,
    SCORES,
    Published,
    audited,
    change,
    locked,
    stages_locked,
)


def test_a_colleague_reruns_only_what_changed(published: Published, colleague: Repository) -> None:
    was = locked(published.producer)
    colleague.run("dvc", "pull", "--allow-missing")
    change(colleague, 2, "report", "examples")
    assert colleague.repro("--allow-missing") == ["report"]
    now = locked(colleague)
    assert {path for path in now if now[path] != was[path]} == {"results/report"}
    assert not list((colleague.folder / "data/latents").iterdir())


def test_what_a_changed_stage_reads_is_pulled_on_the_way(colleague: Repository) -> None:
    options = ("--pull", "--allow-missing")
    assert colleague.repro(*options) == []
    assert not (colleague.folder / "data").exists()
    change(colleague, 2, "report", "examples")
    assert colleague.repro(*options) == ["report"]
    assert not (colleague.folder / "data/latents").exists()


def test_what_a_changed_stage_reads_beside_its_dependencies_is_pulled_too(
    published: Published, colleague: Repository, server: Server
) -> None:
    change(colleague, 3, "scorers", "detection", "examples_per_prompt")
    assert sorted(colleague.repro("--pull", "--allow-missing")) == sorted([*SCORES, "report"])
    assert server.calls
    read = ["data/tokens", *(f"data/{kind}/{coder}" for kind in ("examples", "explanations") for coder in CODERS)]
    for folder in read:
        assert colleague.read(folder) == published.producer.read(folder)
    assert not (colleague.folder / "data/latents").exists()
    assert audited(colleague)["identities"]["failed"] == 0


def test_what_a_stage_reads_beside_its_dependencies_is_asked_for_in_one_sentence(colleague: Repository) -> None:
    colleague.run("dvc", "pull", "data/explanations/one/pattern")
    colleague.run("dvc", "remote", "remove", "store")
    change(colleague, 3, "scorers", "detection", "examples_per_prompt")
    stage = "pipelines/one/dvc.yaml:score@pattern-detection"
    said = colleague.run("dvc", "repro", "--allow-missing", stage, code=255)
    assert re.search(
        r"Error: score one pattern detection reads data/tokens, data/examples/one, which should be here, but is not, and dvc pull does not "
        r"bring it \(.*\); run dvc pull data/tokens data/examples/one, or dvc repro without --allow-missing, which makes it anew\n",
        said,
    )
    assert "Traceback" not in said


def test_a_change_of_the_vocabulary_alone_reaches_what_depends_on_no_tokens(
    colleague: Repository, server: Server
) -> None:
    """No stage behind the sample depends on the tokens: the hashes that outputs hold of each other carry the change."""
    before = locked(colleague)
    colleague.run("dvc", "pull", "--allow-missing")
    file = colleague.folder / "data/tokens/vocabulary.parquet"
    table = pq.read_table(file)
    counts = pa.array([count + 1 for count in table["count"].to_pylist()], pa.int64())
    pq.write_table(table.set_column(table.column_names.index("count"), "count", counts), file)
    colleague.run("dvc", "commit", "-f", "tokenize")
    ran = colleague.repro("pipelines/one/dvc.yaml:score@pattern-detection")
    assert ran == ["cache one", "sample one", "explain one pattern", "score one pattern detection"]
    after = locked(colleague)
    changed = {path for path in after if after[path] != before[path]}
    assert {"data/tokens", "data/examples/one", "data/explanations/one/pattern"} <= changed
    assert "data/latents/one.zarr" not in changed, "they name the matrix alone, which is the same"


def test_activations_that_nobody_pushed_are_made_anew(colleague: Repository) -> None:
    before = locked(colleague)
    colleague.run("dvc", "pull", "--allow-missing")
    examples = colleague.read("data/examples/one")
    change(colleague, 6, "sampling", "min_activations")
    said = colleague.run("dvc", "repro", "--allow-missing", "pipelines/one/dvc.yaml:sample", code=255)
    assert re.search(
        r"failed to reproduce 'pipelines/one/dvc.yaml:sample': .* No such file or directory: '.*/data/latents/one.zarr'",
        said,
    )
    assert locked(colleague) == before
    colleague.run("dvc", "checkout", "data/examples/one")  # which DVC took away before it looked for the activations
    assert colleague.read("data/examples/one") == examples
    assert colleague.repro("pipelines/one/dvc.yaml:sample") == ["cache one", "sample one"]
    after = locked(colleague)
    assert {path for path in after if after[path] != before[path]} <= {"data/examples/one"}
    assert not list(colleague.folder.rglob("*.partial"))


def test_transcripts_that_were_pulled_answer_all_questions(colleague: Repository, server: Server) -> None:
    before = locked(colleague)
    colleague.run("dvc", "pull", "--allow-missing")
    assert "288 answers are new, 0 known, from 6" in colleague.run("glossa", "journal", "import", "data")
    lock = stages_locked(colleague)
    asked = {LLM: "explain one llm", "data/scores/one/llm/detection": "score one llm detection"}
    names = [name for name, stage in lock.items() if stage["outs"][0]["path"] in asked]
    assert sorted(colleague.repro("--force", "--single-item", *names)) == sorted(asked.values())
    assert server.calls == []
    assert locked(colleague) == before


def test_an_audit_tells_what_it_can_not_check_of_what_was_pulled(colleague: Repository) -> None:
    nothing = audited(colleague, code=2)
    assert nothing["activations"]["checked"] == 0
    colleague.run("dvc", "pull", "--allow-missing")
    found = audited(colleague)
    without = {name: check["not_checkable"][0]["items"] for name, check in found.items() if check["not_checkable"]}
    stores = ["data/latents/one.zarr", "data/latents/two.zarr"]
    examples = ["data/examples/one", "data/examples/two"]
    assert without.pop("journal")
    assert without == {
        "outputs": stores,
        "identities": stores,
        "stores": stores,
        "silent": examples,
        "windows": examples,
    }
    assert {name for name, check in found.items() if not check["checked"]} == {
        "stores", "silent", "windows", "journal", "held_out",
    }  # fmt: skip
