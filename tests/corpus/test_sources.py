from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from stages import params
from stages.corpus import hub
from stages.corpus.sources import commit, documents


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"source": "text", "path": "notes.txt"}, ["notes.txt"]),
        ({"source": "jsonl", "path": "set/train.jsonl", "field": "body"}, ["train.jsonl:1", "train.jsonl:2"]),
        ({"source": "hub", "path": "set", "revision": "main", "field": "body"}, ["train:0", "train:1"]),
        ({"source": "installed-docs", "packages": ["click"], "split": "all"}, ["click/__init__.py"]),
    ],
)
def test_every_source_of_params_yaml_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], names: list[str]
) -> None:
    from importlib.metadata import version

    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("a text")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/train.jsonl").write_text("\n".join(json.dumps({"body": str(n)}) for n in range(2)))
    (tmp_path / "constraints.txt").write_text(f"click=={version('click')}\n")
    section = TypeAdapter[Any](params.Corpus).validate_python({**values, "context_length": 32, "tokens": 64})
    assert [document.name for document in documents(section)][: len(names)] == names


def test_a_data_set_of_the_hub_is_read_at_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"context_length": 32, "tokens": 64}
    section = params.HubDataset(source="hub", path="some/texts", revision="main", **shape)
    monkeypatch.setattr(hub, "pin", lambda path, revision: f"commit of {revision} of {path}")
    monkeypatch.setattr(hub, "read", lambda path, name, split, revision, field, is_chat: iter([revision]))
    assert commit(section) == "commit of main of some/texts"
    assert [*documents(section, commit(section)), *documents(section)] == ["commit of main of some/texts", "main"]
    assert commit(params.LocalText(source="text", path="texts", **shape)) is None
