"""Answers from files, as docs/batch.md and docs/gpu-workstation.md have people type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs import batch_service, vllm_stand_in
from tests.docs.places import Terminal
from tests.docs.printed import snippets
from tests.docs.steps import FILES, Step
from tests.repositories import Repository

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


@pytest.fixture
def nobody(uncommitted: Repository, tmp_path: Path) -> Terminal:
    """A project whose explanations are to be made by a model that no server serves, and a ``vllm`` that answers files."""
    folder = uncommitted.folder
    params = json.loads((folder / "params.yaml").read_text())
    params["models"]["judge"] |= {"model": MODEL, "logprobs": 0}
    (folder / "params.yaml").write_text(json.dumps(params))
    runtime = {"device": "cpu", "endpoints": {"lab": {"base_url": "http://127.0.0.1:9/v1"}}}
    (folder / "runtime.yaml").write_text(json.dumps(runtime))
    uncommitted.run("glossa", "wire")
    uncommitted.commit("Another model")
    home = tmp_path / "home-of-a-user"
    program = vllm_stand_in.command(home / "vllm/bin")
    path = f"{uncommitted._environment()['PATH']}:{program.parent}"
    return Terminal(uncommitted, environment={"HOME": str(home), "PATH": path})


@pytest.mark.parametrize("page", FILES)
def test_through_files(nobody: Terminal, page: str) -> None:
    nobody.type_all(FILES[page])


def test_openais_batch_service(nobody: Terminal) -> None:
    export, _, imported, *_ = FILES["docs/batch.md"]
    nobody.type(export)
    first, second = (snippet.text for snippet in snippets("docs/batch.md") if snippet.kind == "python")
    with batch_service.serving() as address:
        known = {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": "none"}
        sent = nobody.repository.run("python", "-c", first, **known).split()
        assert len(sent) == 1
        for name in sent:
            nobody.repository.run(
                "python", "-c", f"from openai import OpenAI\nclient, id = OpenAI(), {name!r}\n{second}", **known
            )
    nobody.type(imported)
    nobody.type(Step("dvc repro pipelines/res12/dvc.yaml:explain@llm", "Running stage"))
