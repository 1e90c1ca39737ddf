"""YAML that README and docs print says what params.yaml and runtime.yaml may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import explainers, llm, params, registry, scorers
from stages.machine import runtime
from stages.params import Params
from tests.conftest import PARAMS
from tests.docs.printed import PAGES, Snippet, snippets, yaml

SECRETS = ("AZURE_KEY", "EXAMPLE_API_KEY", "GATEWAY_KEY", "LAB_KEY", "LAB_PROXY", "OTHER_KEY", "PROVIDER_KEY")
KNOWN = {
    "judge": {"provider": "openai", "endpoint": "lab", "model": "a/judge"},
    "base": {"provider": "transformers", "model": "a/base"},
    "pattern": {"provider": "pattern"},
    "subject": {"provider": "subject"},
}
"""Models that snippets name and another place of their page describes."""


def printed() -> list[Snippet]:
    found = [snippet for page in PAGES for snippet in snippets(page) if snippet.kind == "yaml"]
    return [snippet for snippet in found if "custom_id" not in snippet.text]  # a line of a file of questions


def placed(found: dict[str, Any]) -> dict[str, Any]:
    """The sections that a snippet is of: its own or, of bare entries, the one in which they make sense."""
    if set(found) <= {*Params.model_fields, "endpoints"}:
        return {key: value for key, value in found.items() if value is not None}
    kinds = {entry.get("kind") for entry in found.values()}
    section = (
        "scorers" if kinds & set(registry.SCORERS) else "explainers" if kinds & set(registry.EXPLAINERS) else "coders"
    )
    return {section: found}


@pytest.mark.parametrize("snippet", printed(), ids=lambda snippet: f"{snippet.page}:{snippet.line}")
def test_a_snippet_is_read(snippet: Snippet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sections = placed(yaml(snippet.text))
    monkeypatch.chdir(tmp_path)
    for name in SECRETS:
        monkeypatch.setenv(
            name, "http://me:password@proxy.example.org:3128" if name == "LAB_PROXY" else "0123456789abcdef"
        )
    endpoints = sections.pop("endpoints", {})
    whole = YAML(typ="safe", pure=True).load(PARAMS)
    sampling = whole["sampling"] | sections.get("sampling", {})  # what a snippet leaves out stays as it is
    whole |= sections | {"models": KNOWN | sections.get("models", {}), "sampling": sampling}
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(whole, file)
    with Path("runtime.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({"endpoints": endpoints}, file)
    p = params.load()
    for name, entry in p.explainers.items():
        explainers.load(name, entry)
    for name, entry in p.scorers.items():
        scorers.load(name, entry)
    for name, entry in p.models.items():
        llm.load(f"models.{name}", entry)
    assert set(runtime.load().endpoints) == set(endpoints)


def test_there_are_snippets() -> None:
    assert len(printed()) > 25
