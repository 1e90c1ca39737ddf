from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages import params
from stages.results.reading import Results
from stages.site import provenance
from stages.site.manifest import manifest, subject_of, threshold
from stages.site.relatives import Relatives
from tests.site.reading import load


@pytest.fixture
def data(report: Path) -> Any:
    return load(report / "data", "manifest")


def test_what_a_page_needs_first(data: Any) -> None:
    assert (data["version"], data["subject"]) == (1, "demo/subject")
    assert data["explainers"] == ["pattern", "llm"]
    assert data["scorers"] == [
        {
            "name": name,
            "kind": name,
            "metric": metric,
            "floor": floor,
            "natural": natural,
            "bounded": True,
            "chance": chance,
            "of_latents": floor == "chance",
        }
        for name, metric, floor, natural, chance in (
            ("detection", "balanced accuracy", "floor", "natural F1", 0.5),
            ("embedding", "AUROC", "floor", "natural AUPRC", 0.5),
            ("intruder", "accuracy", "chance", "natural F1", 0.2),
        )
    ]
    assert (data["examples"], data["window"], data["threshold"]) == (3, 4, 0.3)


def test_the_shards_that_there_are(data: Any, report: Path) -> None:
    one, two = data["coders"]
    assert (one["name"], one["kind"], one["n_latents"], one["kept"], one["dropped"]) == (
        "one",
        "coder",
        10,
        2,
        [["never fires", 1]],
    )
    assert (one["table"], one["shards"], one["windows"], one["made"]) == ([2], [2], [0], {"pattern": [0], "llm": [0]})
    assert {name: numbers for name, numbers in one["verdicts"].items() if numbers} == {
        "llm/detection": [0],
        "llm/embedding": [0],
    }
    assert two["windows"] == []
    listed = {"manifest"}
    for coder in data["coders"]:
        kinds = {
            "table": range(len(coder["table"])),
            "latents": range(len(coder["shards"])),
            "windows": coder["windows"],
        }
        kinds |= {f"verdicts/{of}": numbers for of, numbers in coder["verdicts"].items()}
        kinds |= {f"made/{explainer}": numbers for explainer, numbers in coder["made"].items()}
        listed |= {f"{coder['name']}/{kind}/{number}" for kind, numbers in kinds.items() for number in numbers}
    files = {file.relative_to(report / "data").with_suffix("").as_posix() for file in (report / "data").rglob("*.js")}
    assert files == listed


def test_where_numbers_come_from(data: Any) -> None:
    facts = dict(map(tuple, data["coders"][0]["provenance"]))
    assert facts["hookpoint"] == "layers.0"
    assert facts["subject"] == "demo/subject"
    assert facts["tokenizer, tokens"] == "10"
    assert facts["corpus, tokens"] == "64"
    assert facts["sampling, latents, latents"] == "[2, 5, 7]"
    assert facts["sampling, test, negatives, random"] == "100"
    assert len(facts["corpus, sha256 of tokens"]) == 64
    explainer = dict(map(tuple, data["explainer_facts"]["llm"]))
    assert explainer["kind"] == "default"
    assert explainer["answered by"] == "answered"
    assert len(explainer["instructions, sha256"]) == 64, "what the system's message was"
    assert dict(map(tuple, data["explainer_facts"]["pattern"])) == {"kind": "pattern"}


def test_no_path_of_this_machine(here: Results) -> None:
    p = params.load()
    one = here.coders["one"]
    one.meta["subject"] = {"model": "/home/me/models/gpt", "weights": "random", "files": {"a/b": "0" * 64}}
    one.meta["coder"] = {"path": "/home/me/coders/one", "format": "sparsify", "k": 16}
    facts = dict(provenance.of_coder(p, here, one))
    assert (facts["subject"], facts["coder"], facts["k"]) == ("gpt", "one", "16")
    assert not any("/home" in value for value in facts.values())
    assert subject_of(here) == "gpt with random weights"


def test_a_threshold_is_the_first_that_params_name(here: Results) -> None:
    p = params.load()
    assert threshold(p) == 0.3
    scorers = {**p.scorers, "detection": {**p.scorers["detection"], "threshold": 0.5}}
    assert threshold(p.model_copy(update={"scorers": scorers})) == 0.5


def test_hostile_names_of_reasons_are_shown_as_text(here: Results) -> None:
    one = here.coders["one"]
    odd = replace(one, meta={**one.meta, "dropped": {"never\u202e </script>": 1}})
    shards = {name: {"table": [], "shards": []} for name in here.coders}
    found = manifest(params.load(), replace(here, coders={**here.coders, "one": odd}), shards)
    assert found["coders"][0]["dropped"] == [["never⟨U+202E⟩ </script>", 1]]


def test_relatives_are_told_from_both_sides(here: Results) -> None:
    relatives = Relatives(here)
    one = {"direction": 0.9, "meaning": None, "text": None, "linked": True}
    assert relatives.of("one") == {2: [{"coder": "two", "latent": 7, **one}], 7: [{"coder": "two", "latent": 2, **one}]}
    assert relatives.of("two") == {7: [{"coder": "one", "latent": 2, **one}], 2: [{"coder": "one", "latent": 7, **one}]}
    assert relatives.of("three") == {}
