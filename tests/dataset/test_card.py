from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages.dataset.card import card, code, front, size_category
from stages.dataset.columns import CONFIGS
from tests.dataset.conftest import INSTRUCTIONS


@pytest.fixture
def facts(dataset: Path) -> dict[str, Any]:
    return json.loads((dataset / "meta.json").read_text())


def test_the_front_matter_names_files_that_are_there(dataset: Path) -> None:
    _, front_matter, _ = (dataset / "README.md").read_text().split("---\n", 2)
    found = YAML(typ="safe").load(front_matter)
    assert [config["config_name"] for config in found["configs"]] == list(CONFIGS)
    for config in found["configs"]:
        (files,) = config["data_files"]
        assert files["split"] == "train"
        assert list(dataset.glob(files["path"]))
    assert found["license"] == "other"
    assert found["annotations_creators"] == ["machine-generated"]
    assert found["size_categories"] == ["n<1K"]


@pytest.mark.parametrize(
    ("rows", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**9, "1B<n<10B"), (10**10, "n>10B")],
)
def test_size_categories_are_the_hubs(rows: int, category: str) -> None:
    assert size_category(rows) == category


def test_who_was_asked_under_which_instructions_is_told(facts: dict[str, Any]) -> None:
    hash = hashlib.sha256(INSTRUCTIONS.encode()).hexdigest()
    assert facts["scorers"]["detection"]["models"] == [
        {"endpoint": "lab", "asked": "llama", "answered": "llama-3.1 | 70b"}
    ]
    assert facts["scorers"]["detection"]["instructions"] == [hash]
    assert "models" not in facts["explainers"]["llm"]
    text = card(facts)
    (line,) = [line for line in text.splitlines() if line.startswith("- scorer `detection`")]
    assert "asked `llama` at `lab`, answered `llama-3.1 ¦ 70b`" in line
    assert hash in line


def test_scores_stand_beside_their_floors(facts: dict[str, Any]) -> None:
    lines = card(facts).splitlines()
    assert "| `one` | `llm` | `detection` | balanced_accuracy | 0.800 | 0.700 … 0.900 | 0.500 | 1 | 1 |" in lines
    assert "| `one` | `latent` | `intruder` | accuracy | 0.750 | 0.750 … 0.750 | 0.200 | 1 | 1 |" in lines


def test_what_people_wrote_is_not_said_to_be_of_machines(facts: dict[str, Any]) -> None:
    assert "written by machines. None was checked by a person;" in card(facts)
    said = "hand-written by <b>Ada`\u202e, from the train windows"
    hand = {"options": {"kind": "imported", "path": "w.jsonl"}, "made": said, "by_hand": True}
    theirs = {"options": {"kind": "imported", "format": "csv"}, "made": "made elsewhere", "by_hand": False}
    found = facts | {"explainers": {**facts["explainers"], "hand": hand, "theirs": theirs}}
    text = card(found)
    assert "written by machines, but those of `hand` by people. None was checked by another person;" in text
    (line,) = [line for line in text.splitlines() if line.startswith("- explainer `hand`")]
    assert line.endswith("; `hand-written by <b>Ada'⟨U+202E⟩, from the train windows`.")
    assert "`; `made elsewhere`." in text
    creators = YAML(typ="safe").load(front(found))["annotations_creators"]
    assert creators == ["machine-generated", "expert-generated"]
    alone = facts | {"explainers": {"hand": hand}}
    assert "The explanations are written by people. None" in card(alone)
    assert YAML(typ="safe").load(front(alone))["annotations_creators"] == ["expert-generated"]


def test_what_was_left_out_and_every_column_is_told(facts: dict[str, Any]) -> None:
    text = card(facts)
    assert "Of `one` were sampled and left out: never fires `1`." in text
    for config in CONFIGS.values():
        for column in config.columns:
            assert f"| `{column.name}` |" in text


def test_what_others_named_cannot_leave_its_place(facts: dict[str, Any]) -> None:
    facts["subjects"] = [{"model": "x`\n---\nlicense: mit\n# | <b>\u202e"}]
    text = card(facts)
    assert YAML(typ="safe").load(front(facts))["license"] == "other"
    assert text.count("\n---\n") == 1
    assert code("a`b|c\nd\u202e") == "`a'b¦c↵d⟨U+202E⟩`"


def test_a_configuration_without_rows_is_not_offered(facts: dict[str, Any]) -> None:
    facts["rows"]["verdicts"] = {"one": 0, "two": 0}
    names = [config["config_name"] for config in YAML(typ="safe").load(front(facts))["configs"]]
    assert names == [name for name in CONFIGS if name != "verdicts"]


def test_without_scores_it_says_so(facts: dict[str, Any]) -> None:
    assert "no explanation here was scored" in card(facts | {"scores": []})
