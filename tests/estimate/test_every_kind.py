"""Whatever explains or judges by asking a server: what it asks is foretold and exported to the byte."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stages import params, registry
from stages.cli import main
from stages.estimate.pending import Pending
from stages.wiring.coder import stage_of
from tests.llm import asking
from tests.llm.asking import runtime_yaml
from tests.llm.scripted_server import Asked, Server

SAMPLING = {
    "latents": {"first": 12},
    "min_activations": 5,
    "window": 8,
    "train": {"n": 6, "negatives": {"random": 4}},
    "test": {"per_decile": 4, "negatives": {"random": 10}},
    "validation": {"n": 4, "negatives": {"random": 4}},
}
ASKING_NOBODY = {"imported", "none", "pattern"}
COMPUTING = {"embedding", "intervention", "pmi", "surprisal"}
JUDGE = {**asking.JUDGE, "system": "user"}
"""Kinds of scorers that embed, or compute with a model in this process."""


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory, finished_workplace: Path) -> Path:
    """A folder with all kinds of windows, in which ``pattern`` has explained; to be copied."""
    folder = tmp_path_factory.mktemp("sampled") / "place"
    shutil.copytree(finished_workplace, folder)
    with chdir(folder):
        text = Path("params.yaml").read_text().split("sampling:")[0]
        Path("params.yaml").write_text(
            f"{text}sampling: {json.dumps(SAMPLING)}\nexplainers: {{p: {{kind: pattern}}}}\n"
        )
        run("sample", "one")
        run("explain", "one", "p")
    return folder


@pytest.fixture
def server(tmp_path: Path, sampled: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    shutil.copytree(sampled, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    with Server() as server:
        runtime_yaml(server.url, concurrency=8)
        yield server


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def add(**sections: dict[str, Any]) -> None:
    """Writes params.yaml anew with other explainers or scorers."""
    text = Path("params.yaml").read_text().split("explainers:")[0]
    every = {"explainers": {"p": {"kind": "pattern"}}, **sections}
    Path("params.yaml").write_text(text + "".join(f"{key}: {json.dumps(value)}\n" for key, value in every.items()))


def foretold(monkeypatch: pytest.MonkeyPatch, *stage: str) -> int:
    """How many calls the stage will make, by ``glossa estimate``."""
    name = stage_of(params.load(), *stage[1:])
    monkeypatch.setattr(Pending, "from_dvc", lambda p: Pending(p, {name: ["always changed"]}))
    lines = json.loads(run("estimate", "--json"))["stages"]
    return sum(line["to_send"] for line in lines if line["stage"] == " ".join(stage))


def exported(*stage: str) -> set[str]:
    """The digests of the questions in an export."""
    folder = Path("batches") / str(len(list(Path("batches").glob("*"))))
    if not json.loads(run("batch", "export", *stage, "--out", str(folder), "--json"))["requests"]:
        return set()
    lines = (line for file in folder.glob("requests-*.jsonl") for line in file.read_bytes().splitlines())
    return {hashlib.sha256(line.partition(b'"body":')[2][:-1]).hexdigest() for line in lines}


def sent(server: Server, *stage: str) -> list[str]:
    """The digests of what the stage really asks, without what tries the server."""
    run(*stage)
    return [call.digest for call in server.calls if not _is_trial(call)]


def _is_trial(asked: Asked) -> bool:
    return any(words in str(asked.body["messages"]) for words in ("about a lighthouse", "about the sea"))


@pytest.mark.parametrize("kind", sorted(set(registry.EXPLAINERS) - ASKING_NOBODY))
def test_an_explainer_asks_what_was_foretold(server: Server, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    is_drawn = kind == "best_of"
    drawn = {"temperature": 1, "seed": 1} if is_drawn else {}  # with a seed no two candidates are the same question
    entry = {"kind": kind, "model": {**JUDGE, "model": "w", **drawn}}
    add(explainers={"p": {"kind": "pattern"}, "it": entry | ({"judge": JUDGE} if is_drawn else {})})
    stage = ("explain", "one", "it")
    n, questions = foretold(monkeypatch, *stage), exported(*stage)
    assert server.calls == []
    asked = sent(server, *stage)
    assert len(asked) == len(set(asked)) == n > 0
    if is_drawn:  # what the judge is asked rests on what the explainer has yet to say
        assert questions < set(asked)
    else:
        assert questions == set(asked)
    assert foretold(monkeypatch, *stage) == 0
    assert exported(*stage) == set()


@pytest.mark.parametrize("kind", sorted(set(registry.SCORERS) - COMPUTING))
def test_a_scorer_asks_what_was_foretold(server: Server, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(registry.SCORERS[kind])
    add(scorers={"it": {"kind": kind, "model": JUDGE, "latents": 4}})
    stage = ("score", "one", params.LATENT if kind in registry.SCORERS_OF_LATENTS else "p", "it")
    n, questions = foretold(monkeypatch, *stage), exported(*stage)
    assert server.calls == []
    asked = sent(server, *stage)
    assert questions == set(asked)
    assert len(asked) == len(questions) == n > 0
    assert foretold(monkeypatch, *stage) == 0
