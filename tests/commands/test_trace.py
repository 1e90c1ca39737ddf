from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stages import paths
from stages.cli import main
from stages.explainers import table
from stages.scorers import table as scores_table
from tests.provenance.conftest import finished, project
from tests.provenance.small import glossa
from tests.provenance.tampering import Rows, edit

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
        "─ params: explain-llm@one",
        "─ code: explain-llm@one",
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
    assert "DIFFERS, dvc.lock, explain-llm@one: other bytes" in flat


def test_a_changed_param_and_a_replaced_coder_are_shown(latent: int, project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text().replace('"min_activations": 5', '"min_activations": 6'))
    weights = project / "coders/one/sae.safetensors"
    weights.write_bytes((project / "coders/two/sae.safetensors").read_bytes())
    flat = " ".join(glossa("trace", "one", str(latent), code=1).replace("│", " ").split())
    assert "DIFFERS, sampling.min_activations is now 6" in flat
    assert "DIFFERS, no file in coders/one has it" in flat


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
