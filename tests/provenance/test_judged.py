"""Audit of what the other tests of it leave out: all that a language model judges, and explanations from elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stages import paths
from stages.examples.table import Examples
from stages.provenance.project import Project
from tests.llm.asking import JUDGE
from tests.provenance import small
from tests.provenance.small import audit
from tests.provenance.tampering import Rows, edit, rewrite_lock

LOCAL = {"provider": "transformers", "model": "subject"}
IMPORTED = {"kind": "imported", "format": "json", "path": "theirs", "coders": {"one": "one.json"}}
PARAMS = {
    **small.PARAMS,
    "coders": {"one": small.PARAMS["coders"]["one"]},
    "sampling": {**small.PARAMS["sampling"], "test": {"per_decile": 4, "negatives": {"random": 10}}},
    "explainers": {"theirs": IMPORTED},
    "scorers": {
        "fuzzing": {"kind": "fuzzing", "model": JUDGE, "latents": 4},
        "intruder": {"kind": "intruder", "model": JUDGE, "latents": 4},
        "simulation": {"kind": "simulation", "model": JUDGE, "active": 3, "random": 2, "latents": 4},
        "sensitivity": {"kind": "sensitivity", "model": JUDGE, "texts": 3, "latents": 4},
        "intervention": {
            "kind": "intervention",
            "model": LOCAL,
            "shots": 0,
            "per_quintile": 1,
            "new_tokens": 2,
            "latents": 2,
        },
        "surprisal": {"kind": "surprisal", "model": LOCAL, "shots": 0, "latents": 2},
        "pmi": {"kind": "pmi", "model": LOCAL, "latents": 2},
    },
}
SAID = {str(latent): f"fires on things of sort {latent}" for latent in range(20)}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, subject_folder: Path, make_coder: Callable[..., Path]) -> Path:
    """A project that has run whole; to be copied."""
    folder = tmp_path_factory.mktemp("judged") / "project"
    small.furnish(folder, subject_folder, make_coder, PARAMS)
    config = json.loads((folder / "subject/config.json").read_text())
    (folder / "subject/config.json").write_text(json.dumps({**config, "max_position_embeddings": 1024}))
    (folder / "theirs").mkdir()
    (folder / "theirs/one.json").write_text(json.dumps(SAID))
    small.run(folder)
    return folder


@pytest.fixture
def project(judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(judged, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GLOSSA_HOME", str(folder / ".glossa"))
    return folder


def at(scorer: str, name: str) -> Path:
    return paths.scores("one", "latent" if scorer == "intruder" else "theirs", scorer) / f"{name}.parquet"


def said(check: dict) -> str:
    return "\n".join(f"{failure['item']}: {failure['said']}" for failure in check["failures"])


def test_a_clean_run_has_no_failure_and_says_what_is_left(project: Path) -> None:
    found = audit("--full")
    assert not any(check["failed"] for check in found.values()), "".join(map(said, found.values()))
    calls = {
        name: len(small.read_rows(at(name, "transcript")))
        for name in ("fuzzing", "intruder", "simulation", "sensitivity")
    }
    assert all(calls.values())
    assert found["keys"]["checked"] == found["prompts"]["checked"] == found["journal"]["checked"] == sum(calls.values())
    assert found["explanations"]["checked"] == len(Examples.open(paths.examples("one")).kept)
    verdicts = sum(len(small.read_rows(at(name, "verdicts"))) for name in calls)
    assert found["verdicts"]["checked"] == verdicts
    left = {item for gap in found["verdicts"]["not_checkable"] for item in gap["items"]}
    assert left == {str(at(name, "verdicts").parent) for name in ("intervention", "pmi", "surprisal")}
    assert found["scores"]["not_checkable"] == []


def without_the_first(rows: Rows) -> None:
    """Takes away all that was found of the first latent."""
    rows[:] = [
        row for row in rows if (row["explanation"], row["latent"]) != (rows[0]["explanation"], rows[0]["latent"])
    ]


def change(**values: Any) -> Callable[[Rows], None]:
    """Changes the first row that has all of them; ``values`` make the new value of the old one."""

    def make(rows: Rows) -> None:
        row = next(row for row in rows if all(row[name] is not None for name in values))
        row.update({name: new(row[name]) for name, new in values.items()})

    return make


def answered(old: str, new: str, often: int = 9) -> Callable[[Rows], None]:
    """Changes the first answer that says so, and no more than ``often`` where the question was asked again."""

    def make(rows: Rows) -> None:
        first = next(row for row in rows if re.search(old, row["response"]))
        for row in [row for row in rows if row["key"] == first["key"]][:often]:
            row["response"] = re.sub(old, new, row["response"], count=1)

    return make


class Edit(NamedTuple):
    name: str
    path: Path
    make: Callable[[Rows], Any]
    found: tuple[tuple[str, str], ...]
    """The checks that fail, and what they name."""


OTHER = {"a": "b", "b": "c", "c": "d", "d": "e", "e": "a"}
EDITS = [
    Edit(
        "an answer of the intruder",
        at("intruder", "transcript"),
        lambda rows: rows[0].update(
            response=re.sub(r'(\\": \\")([a-e])(\\")', lambda m: m[1] + OTHER[m[2]] + m[3], rows[0]["response"])
        ),
        (
            ("verdicts", r"intruder, latent \d+, window \d+: predicted is"),
            ("journal", "intruder/transcript.parquet, row 0"),
        ),
    ),
    Edit(
        "a verdict of the intruder",
        at("intruder", "verdicts"),
        change(predicted=lambda value: not value),
        (("verdicts", r"intruder, latent \d+, window \d+: predicted is"),),
    ),
    Edit(
        "an answer of the simulation",
        at("simulation", "transcript"),
        answered(r'(\\"[a-z]\\": )[0-8]\b', r"\g<1>9"),
        (("verdicts", r"simulation, latent \d+, window \d+.*: .*values is"), ("figures", "simulation, latent")),
    ),
    Edit(
        "a prediction of the simulation",
        at("simulation", "verdicts"),
        change(values=lambda values: [None if value is None else 10.0 for value in values]),
        (("verdicts", r"simulation, latent \d+, window \d+.*: .*values is"),),
    ),
    Edit(
        "a text of sensitivity",
        at("sensitivity", "verdicts"),
        change(text=lambda text: f"{text}."),
        (("verdicts", r"sensitivity, latent \d+, window \d+.*: text is"),),
    ),
    Edit(
        "an answer of sensitivity",
        at("sensitivity", "transcript"),
        answered("fires on", "fires off"),
        (("verdicts", r"sensitivity, latent \d+, window \d+.*text is .*fires on.*should be .*fires off"),),
    ),
    Edit(
        "one of two answers to the same question",
        at("sensitivity", "transcript"),
        answered("fires on", "fires off", often=1),
        (("keys", r"transcript.parquet, row \d+: has another answer than row 0, which has the same key"),),
    ),
    Edit(
        "whether the latent fires on a text",
        at("sensitivity", "verdicts"),
        change(active=lambda value: not value),
        (("verdicts", "active is"), ("scores", r"sensitivity, explanation \w+, latent \d+: score is")),
    ),
    Edit(
        "a verdict of fuzzing",
        at("fuzzing", "verdicts"),
        change(predicted=lambda value: not value),
        (("verdicts", r"fuzzing, latent \d+, window \d+.*: predicted is"), ("scores", "fuzzing, explanation")),
    ),
    Edit(
        "all verdicts on a latent",
        at("fuzzing", "verdicts"),
        without_the_first,
        (("scores", r"fuzzing, explanation own, latent \d+: has a score, but no verdict"),),
    ),
    Edit(
        "a surprisal of the intervention",
        at("intervention", "verdicts"),
        change(value=lambda value: value + 1),
        (("scores", r"intervention, explanation \w+, latent \d+: score is"),),
    ),
    Edit(
        "a value of surprisal",
        at("surprisal", "verdicts"),
        lambda rows: [row.update(value=-row["value"]) for row in rows[:12] if row["value"] is not None] and None,
        (("scores", "surprisal, explanation"),),
    ),
    Edit(
        "a value of pmi",
        at("pmi", "verdicts"),
        lambda rows: [row.update(value=-row["value"]) for row in rows[:12] if row["value"] is not None] and None,
        (("scores", "pmi, explanation"),),
    ),
    Edit(
        "an imported explanation",
        paths.explanations("one", "theirs") / "explanations.parquet",
        change(explanation=lambda text: text.upper()),
        (("explanations", "one/theirs, latent .*: explanation is .*FIRES.*should be .*fires"),),
    ),
]


@pytest.mark.parametrize("one", EDITS, ids=[one.name for one in EDITS])
def test_an_edit_is_found_when_the_lock_was_rewritten(one: Edit, project: Path) -> None:
    edit(one.path, one.make)
    rewrite_lock()
    found = audit("--full", "--sample", "0")
    for name, expected in one.found:
        assert re.search(expected, said(found[name])), (name, said(found[name]))
    assert not any(found[name]["failed"] for name in ("lock", "outputs", "inputs", "params", "code"))


def test_a_file_that_explanations_were_read_from_is_found_when_it_changes(project: Path) -> None:
    Path("theirs/one.json").write_text(json.dumps({**SAID, "3": "another"}))
    found = audit("--sample", "0")
    assert 'latent 3: explanation is "fires on things of sort 3", should be "another"' in said(found["explanations"])


def test_without_that_file_nothing_has_failed(project: Path) -> None:
    shutil.rmtree("theirs")
    found = audit("--sample", "0")
    assert not any(check["failed"] for check in found.values()), "".join(map(said, found.values()))
    (gap,) = found["explanations"]["not_checkable"]
    assert gap["why"] == "theirs, which they were read from, is not here"


def test_an_imported_explanation_is_traced_to_its_file(project: Path) -> None:
    told = small.glossa("trace", "one", "3", "--explainer", "theirs")
    assert "text           fires on things of sort 3  ok, its file read anew" in told
    assert "├─ imported file: theirs/one.json" in told
    assert "made by        not known" in told
    assert re.search(r"sensitivity +[\d.]+  ok, calculated anew", told)
    Path("theirs/one.json").write_text(json.dumps({**SAID, "4": "another"}))
    told = small.glossa("trace", "one", "3", "--explainer", "theirs", code=1)
    assert "DIFFERS, the file has another sha256" in told
    Path("theirs/one.json").unlink()
    assert "not checked, is not here" in small.glossa("trace", "one", "3", "--explainer", "theirs")


def test_the_lock_is_searched_by_what_stages_wrote(project: Path) -> None:
    file, out = Path("pipelines/one/dvc.lock"), at("fuzzing", "verdicts").parent
    name = Project.here().maker(out)
    assert name == "pipelines/one/dvc.yaml:score@theirs-fuzzing"
    text = file.read_text()
    assert "\n  score@theirs-fuzzing:\n" in text
    file.write_text(text.replace("\n  score@theirs-fuzzing:\n", "\n  judged:\n"))
    assert Project.here().maker(out) == "pipelines/one/dvc.yaml:judged"
    found = audit("--sample", "0")
    assert {name for name in found if found[name]["failed"]} == {"lock"}
    assert said(found["lock"]).startswith("pipelines/one/dvc.lock, judged: pipelines/one/dvc.yaml has no such stage")
