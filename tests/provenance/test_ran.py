"""What stages ran with: values from made.json where they have the hash in the lock file, and files of code where git knows them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages import params
from stages.errors import GlossaError
from stages.provenance import code, ran
from stages.provenance.project import Project
from stages.provenance.ran import Noted
from stages.wiring import fingerprints, made
from tests.provenance.small import commit
from tests.provenance.tampering import replace

EXPLAIN, SAMPLE = (f"pipelines/one/dvc.yaml:{name}" for name in ("explain@llm", "sample"))
MADE = Path("pipelines/one/made.json")


def change(file: Path, edit: Callable[[Any], Any]) -> None:
    value = json.loads(file.read_text())
    edit(value)
    file.write_text(json.dumps(value))


def test_all_that_ran_is_known_and_the_same(project: Path) -> None:
    here = Project.here()
    assert len(here.ran) == len(here.due) == 1 + 2 + 2 + 4 + 4 + 2
    for stage, due in here.ran.items():
        found = ran.of(here, stage)
        assert (found.is_same_code, found.is_same_params, found.changed_values()) == (True, True, [])
        assert found.noted.status == "ok"
        assert found.noted.values == json.loads(json.dumps(found.values))
        assert found.noted.packages == made.packages()
        assert here.lock[stage].cmd == " ".join(("glossa", *due.words))


def test_values_are_named_by_their_places_in_params_yaml(project: Path) -> None:
    here = Project.here()
    assert set(ran.of(here, EXPLAIN).values) == {"seed", "explainers.llm"}
    assert set(ran.of(here, "pipelines/two/dvc.yaml:cache").values) == {"seed", "subject", "coders.two", "cache"}
    assert set(ran.of(here, "pipelines/two/dvc.yaml:score@llm-detection").values) == {"seed", "scorers.detection"}

    def edit(raw: dict) -> None:
        raw["explainers"]["llm"]["model"].update(model="v", temperature=None)
        raw["coders"] = dict(reversed(raw["coders"].items()))
        raw["coders"]["one"]["hookpoint"] = "layers.1"
        del raw["scorers"]

    change(project / "params.yaml", edit)
    here = Project.here()
    (model, temperature) = ran.of(here, EXPLAIN).changed_values()
    assert model == ("explainers.llm.model.model", "w", "v")
    assert temperature[0] == "explainers.llm.model.temperature"
    assert temperature[2] is None
    compared = ran.of(here, "compare").changed_values()
    assert ("order of coders", ["one", "two"], ["two", "one"]) in compared
    assert ("coders.one.hookpoint", "layers.0", "layers.1") in compared
    ((place, was, now),) = ran.of(here, "pipelines/one/dvc.yaml:cache").changed_values()
    assert (place, was, now) == ("coders.one.hookpoint", "layers.0", "layers.1")


@pytest.mark.parametrize(
    ("edit", "status", "said"),
    [
        (lambda notes: notes.clear(), "differs", "made.json can't be read; restore it from git"),
        (lambda notes: notes.pop("sample one"), "unchecked", "made.json has nothing of sample one"),
        (lambda notes: notes.update({"sample one": 3}), "differs", "other values of sample one than their hash there"),
        (lambda notes: notes["sample one"].pop("fingerprint"), "differs", "other values of sample one than"),
        (lambda notes: notes["sample one"]["params"].update(seed=1), "differs", "other values of sample one than"),
        (
            lambda notes: notes["sample one"].update(
                params={"seed": 1}, fingerprint=f"code 0 params {fingerprints.hash_of({'seed': 1})}"
            ),
            "unchecked",
            "made.json tells of another run of sample one",
        ),
    ],
)
def test_values_count_only_if_they_have_the_hash_in_the_lock_file(
    edit: Callable[[Any], Any], status: str, said: str, project: Path
) -> None:
    change(MADE, edit)
    found = ran.of(Project.here(), SAMPLE)
    assert found.noted.status == status
    assert said in found.noted.said
    assert (found.noted.values, dict(found.noted.packages)) == (None, {})
    assert found.is_same_params
    replace([project / "params.yaml"], {'"min_activations": 5': '"min_activations": 6'})
    found = ran.of(Project.here(), SAMPLE)
    assert (found.is_same_params, found.changed_values()) == (False, [])


def test_without_made_json_it_is_hashes_that_are_compared(project: Path) -> None:
    MADE.unlink()
    assert ran.of(Project.here(), SAMPLE).noted == Noted(MADE, "unchecked", f"{MADE} has nothing of sample one")


@pytest.mark.parametrize("other", ["", "code x params y", "code 12", "3"])
def test_a_fingerprint_that_is_none_is_told(other: str, project: Path) -> None:
    said = fingerprints.read()["coders.one.sample"]
    replace([Path("pipelines/one/dvc.lock")], {said: other})
    with pytest.raises(
        GlossaError, match=r"one/dvc.lock should have the fingerprint coders.one.sample of sample, found"
    ):
        ran.of(Project.here(), SAMPLE)


def test_versions_that_made_json_notes_are_of_the_stages_of_params_yaml(project: Path) -> None:
    def edit(notes: dict) -> None:
        notes["sample one"]["packages"]["numpy"] = "1.0"
        notes["explain one gone"] = {"packages": {"torch": "0.1"}}
        notes["cache one"]["packages"] = None
        notes["explain one llm"] = 3

    change(MADE, edit)
    noted = ran.packages(Project.here())
    assert made.others(noted) == {"numpy": {"1.0"}}
    assert made.warning(noted) == (
        f"some outputs were made with other versions than are installed: numpy 1.0 (here {made.packages()['numpy']})"
    )


def test_prompts_are_those_that_a_stage_can_reach(project: Path) -> None:
    p = params.load()

    def prompts(key: str) -> list[str]:
        return ran.prompts(fingerprints.part(p, key))

    assert prompts("coders.one.explain.llm") == ["stages/explainers/default.md"]
    assert prompts("coders.one.score.detection") == ["stages/scorers/detection.md"]
    assert prompts("coders.one.sample") == []


def test_files_of_code_count_as_changed_if_they_do_other_things(project: Path) -> None:
    lock = Path("pipelines/one/dvc.lock")
    assert code.changed_since(lock) is None
    commit()
    assert code.changed_since(lock) == set()
    edits: dict[str, Callable[[str], str]] = {
        "stages/scorers/metrics.py": lambda text: f"{text}\n# Only a remark.\n",
        "stages/plan.py": lambda text: text.replace('"""', '"""Reworded: ', 1),
        "stages/outputs.py": lambda text: text.replace("ROW_GROUP = 65_536", "ROW_GROUP = 65_537"),
        "stages/paths.py": lambda text: f"{text}\nfrom pathlib import PurePath\n",
        "stages/hub.py": lambda text: f"{text}\ndef (",
        "stages/explainers/default.md": lambda text: f"{text} ",
        "stages/explainers/new.py": lambda text: "A = 1\n",
    }
    for name, edit in edits.items():
        file = Path(name)
        file.write_text(edit(file.read_text() if file.is_file() else ""))
    Path("stages/scorers/detection.md").unlink()
    changed = {"outputs.py", "paths.py", "hub.py", "explainers/default.md", "explainers/new.py", "scorers/detection.md"}
    assert code.changed_since(lock) == {f"stages/{name}" for name in changed}
    shutil.rmtree("stages")  # as where an installed Glossa runs
    assert code.changed_since(lock) is None


def test_a_lock_file_that_is_not_as_committed_tells_nothing_of_code(project: Path) -> None:
    commit()
    one, two = (Path(f"pipelines/{coder}/dvc.lock") for coder in ("one", "two"))
    two.write_text(f"{two.read_text()}\n")
    here = Project.here()
    assert (here.changed_code(one), here.changed_code(two)) == (set(), None)
