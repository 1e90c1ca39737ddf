from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stages import paths
from stages.cli import main
from stages.explainers import table
from stages.scorers import table as scores_table
from tests.clones import ROOT
from tests.provenance.conftest import finished, project
from tests.provenance.small import commit, glossa
from tests.provenance.tampering import Rows, edit, replace

__all__ = ["finished", "project"]


@pytest.fixture
def latent(project: Path) -> int:
    """One that has been explained and scored."""
    scores, _ = scores_table.read(paths.scores("one", "llm", "detection"))
    return scores["latent"][0].as_py()


def test_the_tree_reaches_from_the_text_to_the_bytes(latent: int) -> None:
    told = glossa("trace", "one", str(latent), "--explainer", "llm")
    assert max(map(len, told.splitlines())) <= 100
    assert "DIFFERS" not in told
    text = table.texts(paths.explanations("one", "llm"))[latent]
    assert re.search(rf"text +{re.escape(text)}  ok, the answer read anew", told)
    order = [
        f"explanation: one {latent} llm",
        "─ answer: ",
        "─ request: ",
        "─ prompt file: stages/explainers/default.md",
        "─ examples: data/examples/one",
        "─ activations: data/latents/one.zarr",
        "─ sparse coder: one",
        "─ subject: subject",
        "─ corpus: data/tokens",
        "─ params: pipelines/one/dvc.yaml:explain@llm",
        "─ code: pipelines/one/dvc.yaml:explain@llm",
        f"score: one {latent} llm detection",
        "─ verdicts: data/scores/one/llm/detection",
        "environment: here and now",
    ]
    places = [told.find(words) for words in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)
    assert "rendered anew  ok, from the prompt file and the examples" in told
    assert "calculated anew" in told
    assert f"explanation: one {latent} llm  (above)" in told


def test_what_differs_is_said_where_it_is_and_ends_with_exit_code_1(latent: int, project: Path) -> None:
    def change(rows: Rows) -> None:
        for row in rows:
            row["explanation"] = row["explanation"] and "a bolder claim"

    edit(paths.explanations("one", "llm") / "explanations.parquet", change)
    told = glossa("trace", "one", str(latent), "--explainer", "llm", code=1)
    flat = " ".join(told.replace("│", " ").split())
    assert 'text a bolder claim DIFFERS, explanation is "a bolder claim", should be "fires on' in flat
    assert "DIFFERS, pipelines/one/dvc.lock, explain@llm: other bytes" in flat


def test_a_changed_param_and_a_replaced_coder_are_shown(latent: int, project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace('"min_activations": 5', '"min_activations": 6'))
    weights = project / "coders/one/sae.safetensors"
    weights.write_bytes((project / "coders/two/sae.safetensors").read_bytes())
    flat = " ".join(glossa("trace", "one", str(latent), code=1).replace("│", " ").split())
    assert "DIFFERS, sampling.min_activations is now 6" in flat
    assert "DIFFERS, no file in coders/one has it" in flat


def flat(latent: int, code: int = 0) -> str:
    return " ".join(glossa("trace", "one", str(latent), "--explainer", "llm", code=code).replace("│", " ").split())


def test_params_are_told_by_what_made_json_notes_or_by_their_hash(latent: int, project: Path) -> None:
    told = flat(latent)
    assert "command glossa explain one llm ok, pipelines/one/dvc.yaml" in told
    assert re.search(r'explainers.llm {"kind": "default".*? ok, pipelines/one/made.json', told)
    Path("pipelines/one/made.json").unlink()
    told = flat(latent)
    assert "made.json not checked, pipelines/one/made.json has nothing of explain one llm" in told
    assert "ok, by the hash in pipelines/one/dvc.lock, explain@llm" in told
    replace([project / "params.yaml"], {'"min_activations": 5': '"min_activations": 6'})
    said = "DIFFERS, params.yaml gives others, and pipelines/one/made.json does not say which"
    assert flat(latent, code=1).count(said) == 1


def test_edits_of_notes_and_commands_are_told(latent: int, project: Path) -> None:
    replace([Path("pipelines/one/made.json")], {'"max_tokens": 50': '"max_tokens": 51'})
    replace([Path("pipelines/one/dvc.lock")], {"cmd: glossa explain one llm": "cmd: glossa explain one pattern"})
    told = flat(latent, code=1)
    assert "made.json has other values of explain one llm than their hash there says; restore it from git" in told
    assert "command glossa explain one pattern DIFFERS, pipelines/one/dvc.yaml gives glossa explain one llm" in told


def test_a_fingerprint_that_is_gone_is_told(latent: int, project: Path) -> None:
    replace([Path("pipelines/one/dvc.lock")], {"coders.one.explain.llm:": "coders.one.explain.other:"})
    told = flat(latent, code=1)
    assert "DIFFERS, pipelines/one/dvc.lock should have the fingerprint coders.one.explain.llm of explain@llm" in told


def test_other_code_is_named_if_git_can_tell(latent: int, project: Path) -> None:
    def told() -> str:
        command = [sys.executable, "-m", "stages", "trace", "one", str(latent), "--explainer", "llm"]
        environment = {**os.environ, "PYTHONPATH": "."}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 1, done.stderr
        return " ".join(done.stdout.replace("│", " ").split())

    replace([Path("stages/explainers/default.md")], {"the": "teh"})
    found = told()
    assert re.search(r"hash [0-9a-f]{16} DIFFERS, the code here is other than it ran with", found)
    assert "not checked, the code is another, and this may be why" in found
    Path("stages/explainers/default.md").write_text(Path(ROOT / "stages/explainers/default.md").read_text())
    commit()
    replace([Path("stages/explainers/default.md")], {"the": "teh"})
    found = told()
    assert re.search(r"hash [0-9a-f]{16} DIFFERS, stages/explainers/default.md changed since", found)
    assert "DIFFERS, changed since pipelines/one/dvc.lock, explain@llm" in found
    assert re.search(r"commit [0-9a-f]{40} \S+ not checked, is not as committed", found)
    assert "stages/scorers/detection.md sha256" in found


def test_a_lock_file_that_nobody_committed_is_not_checked_as_in_the_audit(latent: int, project: Path) -> None:
    assert "commit none not checked, this is no git repository" in flat(latent)
    commit("dvc.lock")
    assert re.search(r"dvc.lock [0-9a-f]{40} \S+ ok, as committed", flat(latent))
    assert "pipelines/one/dvc.lock not checked, is in no commit" in flat(latent)
    commit("pipelines")
    Path("pipelines/one/dvc.lock").write_text(Path("pipelines/one/dvc.lock").read_text() + "\n")
    told = flat(latent)
    assert re.search(r"pipelines/one/dvc.lock [0-9a-f]{40} \S+ not checked, is not as committed", told)
    assert re.search(r"pipelines/one/made.json [0-9a-f]{40} \S+ ok, as committed", told)
    assert glossa("audit", "--sample", "0")


def test_other_versions_of_packages_are_told_and_differ_in_nothing(latent: int, project: Path) -> None:
    assert re.search(r"numpy \S+ ok, outputs were made with it", flat(latent))
    replace([Path("pipelines/one/made.json")], {f'"numpy": "{version("numpy")}"': '"numpy": "1.0"'})
    told = flat(latent)
    assert f"numpy 1.0 not checked, here {version('numpy')}, outputs may differ by rounding" in told
    assert f"numpy {version('numpy')} not checked, outputs were made with 1.0" in told


def test_prov_json_is_of_one_piece(latent: int) -> None:
    found = json.loads(glossa("trace", "one", str(latent), "--explainer", "llm", "--json"))
    assert found["prefix"]["prov"] == "http://www.w3.org/ns/prov#"
    known = {**found["entity"], **found["activity"], **found["agent"]}
    relations = [
        value
        for name in ("used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith")
        for value in found[name].values()
    ]
    assert {end for relation in relations for end in relation.values()} <= set(known)
    kinds = [value["prov:type"]["$"].removeprefix("glossa:") for value in found["entity"].values()]
    assert set(kinds) >= {"explanation", "answer", "request", "prompt-file", "examples", "activations", "sparse-coder"}
    assert {"subject", "corpus", "score", "verdicts", "params", "code", "environment"} <= set(kinds)
    # From the score one gets to the corpus by derivation alone.
    after: dict[str, set[str]] = {}
    for relation in found["wasDerivedFrom"].values():
        after.setdefault(relation["prov:generatedEntity"], set()).add(relation["prov:usedEntity"])

    def reached(start: str) -> set[str]:
        return {start}.union(*(reached(other) for other in after.get(start, ())))

    def of_kind(kind: str) -> list[str]:
        return [name for name, value in found["entity"].items() if value["prov:type"]["$"] == f"glossa:{kind}"]

    assert set(of_kind("corpus")) <= reached(of_kind("score")[0])
    explanation = found["entity"][of_kind("explanation")[0]]
    assert (explanation["glossa:text.status"], explanation["glossa:md5.status"]) == ("ok", "ok")


def test_without_activations_or_journal_it_says_so(latent: int, project: Path) -> None:
    import shutil

    shutil.rmtree("data/latents")
    shutil.rmtree(".glossa")
    flat = " ".join(glossa("trace", "one", str(latent), "--explainer", "llm").replace("│", " ").split())
    assert "not checked, data/latents/one.zarr is not here" in flat
    assert "not checked, there is none here" in flat


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["three", "1"], "params.yaml has no coder three"),
        (["one", "1", "--explainer", "lm"], "params.yaml has no explainer lm"),
        (["one", "999"], "expected an explanation of latent 999 in data/explanations/one/llm"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(project: Path, arguments: list[str], said: str) -> None:
    result: Any = CliRunner().invoke(main, ["trace", *arguments])
    assert result.exit_code == 1
    assert said in result.stderr


def test_nothing_in_a_text_acts_on_the_terminal(latent: int) -> None:
    def change(rows: Rows) -> None:
        for row in rows:
            row["explanation"] = row["explanation"] and "\x1b[31mred \u202eder"

    edit(paths.explanations("one", "llm") / "explanations.parquet", change)
    told = glossa("trace", "one", str(latent), "--explainer", "llm", code=1)
    assert "⟨U+001B⟩[31mred ⟨U+202E⟩der" in told
    assert not {"\x1b", "\u202e"} & set(told)
    assert not {"\x1b", "\u202e"} & set(glossa("audit", "--sample", "0", code=1))
