from __future__ import annotations

import json
from pathlib import Path

import pytest
from dvc.annotations import ARTIFACT_SCHEMA
from gto.constants import check_string_is_valid
from ruamel.yaml import YAML
from voluptuous import Schema

from stages import params
from stages.wiring import artifacts
from tests.clones import PARAMS


def parsed(path: Path, coders: list[str], explainers: list[str]) -> list[tuple[str, dict[str, object]]]:
    raw = {
        **PARAMS,
        "coders": {name: {"path": f"coders/{name}", "hookpoint": "layers.1"} for name in coders},
        "explainers": {name: {"kind": "pattern"} for name in explainers},
    }
    (path / "params.yaml").write_text(json.dumps(raw))
    found = YAML(typ="safe").load("\n".join(artifacts.lines(params.load(path / "params.yaml"))))
    return list(found.items())


def test_every_coders_explanations_have_a_name(tmp_path: Path) -> None:
    assert parsed(tmp_path, ["one", "two"], ["pattern"]) == [
        (
            f"explanations-{coder}-pattern",
            {
                "path": f"data/explanations/{coder}/pattern",
                "type": "dataset",
                "desc": f"Explanations of the latents of {coder} by pattern",
                "labels": [coder, "pattern"],
            },
        )
        for coder in ("one", "two")
    ]


@pytest.mark.parametrize("name", ["null", "12", "1e3", "y", "0x1f", "_1", "1_000", "0o7"])
def test_names_that_are_something_else_in_yaml_stay_names(tmp_path: Path, name: str) -> None:
    ((key, entry),) = parsed(tmp_path, [name], [name])
    assert key == f"explanations-{name}-{name}"
    assert entry["labels"] == [name, name]
    Schema(ARTIFACT_SCHEMA)(entry)
    assert check_string_is_valid(key)


def test_coders_stay_together_in_the_order_of_params(tmp_path: Path) -> None:
    names = [name for name, _ in parsed(tmp_path, ["b", "a"], ["z", "c"])]
    assert names == ["explanations-b-z", "explanations-b-c", "explanations-a-z", "explanations-a-c"]
