"""The crate, read with the library and held against the profiles it says it conforms to."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages import params
from stages.errors import GlossaError
from stages.exports import ro_crate
from stages.provenance.lock import Lock
from tests.provenance.conftest import finished, project
from tests.provenance.small import commit, glossa

__all__ = ["finished", "project"]


@pytest.fixture
def crate(project: Path) -> Any:
    rocrate = pytest.importorskip("rocrate.rocrate")
    assert "export ro-crate: out, " in glossa("export", "ro-crate", "out")
    return rocrate.ROCrate("out")


def test_the_root_says_what_the_profiles_demand(crate: Any) -> None:
    root = crate.root_dataset
    assert {profile.id for profile in root["conformsTo"]} == set(ro_crate.PROFILES)
    assert root["name"]
    assert root["description"]
    assert root["license"]["description"] == ro_crate.RIGHTS
    assert root["datePublished"]
    assert crate.mainEntity.id == "dvc.yaml"
    assert set(crate.mainEntity.type) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert crate.mainEntity["programmingLanguage"]["name"] == "DVC"
    metadata = json.loads(Path("out/ro-crate-metadata.json").read_text())
    assert ro_crate.TERMS in metadata["@context"]


def test_the_run_has_its_inputs_and_outputs_as_parameters_of_the_workflow(crate: Any) -> None:
    (action,) = crate.get_by_type("CreateAction")
    assert crate.root_dataset["mentions"].id == action.id
    assert action["instrument"].id == crate.mainEntity.id
    parameters = {role: {one.id for one in crate.mainEntity[role]} for role in ("input", "output")}
    assert {one["exampleOfWork"].id for one in action["object"]} == parameters["input"]
    assert {one["exampleOfWork"].id for one in action["result"]} == parameters["output"]
    lock = Lock.read()
    outs = {out.path for name in lock if name != "code" for out in lock[name].outs}
    assert {one["name"] for one in action["result"]} >= {path for path in outs if "metrics" not in path}
    assert {one["name"] for one in action["object"]} == {"params.yaml", "subject", "coder one", "coder two", "corpus"}


def test_every_file_is_there_with_its_hash_and_what_was_left_out_is_not(crate: Any) -> None:
    files = [entity for entity in crate.data_entities if "File" in entity.type]
    assert {"data/explanations/one/llm/explanations.parquet", "dvc.lock", "params.yaml"} <= {one.id for one in files}
    for entity in files:
        if entity.id != "dvc.yaml":
            content = (Path("out") / entity.id).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entity["sha256"], entity.id
    listed = {Path("out") / entity.id for entity in files} | {Path("out/ro-crate-metadata.json")}
    assert {path for path in Path("out").rglob("*") if path.is_file()} == listed
    left_out = crate.get("#data/tokens")
    assert left_out["identifier"] == f"md5:{Lock.read()['tokenize'].outs[0].md5}"
    assert not Path("out/data/tokens").exists()
    assert not Path("out/data/latents").exists()


def test_what_runs_and_what_ran_is_in_it_and_what_models_are_told(crate: Any) -> None:
    files = {entity.id: entity for entity in crate.data_entities if "File" in entity.type}
    of_coders = {f"pipelines/{c}/{name}" for c in ("one", "two") for name in ("dvc.yaml", "dvc.lock", "made.json")}
    assert {"dvc.yaml", "dvc.lock", "made.json", "fingerprints.json", "params.yaml", *of_coders} <= set(files)
    prompts = {name for name in files if name.endswith(".md")}
    assert prompts == {"stages/explainers/default.md", "stages/scorers/detection.md"}
    for name in prompts:
        assert files[name]["description"] == "What a language model is told"


def test_the_time_and_author_are_those_of_the_last_lock_file(project: Path) -> None:
    rocrate = pytest.importorskip("rocrate.rocrate")
    commit()
    glossa("export", "ro-crate", "first")
    assert rocrate.ROCrate("first").get("#agent")["name"] == "A Name"
    lock = Path("pipelines/two/dvc.lock")
    lock.write_text(lock.read_text() + "\n")
    who = ["-c", "user.name=B Name", "-c", "user.email=b@example.org"]
    environment = {**os.environ, "GIT_COMMITTER_DATE": "2031-01-02T03:04:05+00:00"}
    command = ["git", *who, "commit", "--quiet", "-m", "again", str(lock)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    glossa("export", "ro-crate", "second")
    crate = rocrate.ROCrate("second")
    assert crate.get("#agent")["name"] == "B Name"
    assert crate.root_dataset["datePublished"] == "2031-01-02T03:04:05+00:00"


def test_it_is_the_same_twice(crate: Any) -> None:
    glossa("export", "ro-crate", "again")
    assert Path("out/ro-crate-metadata.json").read_bytes() == Path("again/ro-crate-metadata.json").read_bytes()


def test_without_the_library_one_sentence_says_what_to_install(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "rocrate"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rocrate", None)
    with pytest.raises(
        GlossaError, match=r"needs the package rocrate; run pip install -c constraints.txt -e '\.\[export\]'"
    ):
        ro_crate.write(params.load(), tmp_path)
