"""The explain stage with a language model behind a scripted server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from stages import paths
from stages.cli import main
from stages.examples.table import Examples
from stages.explainers import table
from stages.explainers.contrastive import ALONE
from tests.explainers.small import WRITER
from tests.llm.asking import runtime_yaml
from tests.llm.scripted_server import Server

WARM = {**WRITER, "temperature": 0.7, "seed": 1, "max_tokens": 50}
COLD = {**WRITER, "max_tokens": 50}
ENTRIES = {
    "default": {"kind": "default", "model": COLD},
    "cot": {"kind": "cot", "model": COLD},
    "contrastive": {"kind": "contrastive", "model": COLD},
    "output": {"kind": "output", "model": COLD},
    "combined": {"kind": "combined", "model": COLD},
    "best": {"kind": "best_of", "model": WARM, "judge": COLD, "candidates": 3, "examples_per_prompt": 4},
    "nothing": {"kind": "none"},
}
SAMPLING = "{n: 6, negatives: {random: 2}}\n  validation: {n: 2, negatives: {random: 2}}"
PROBES = 3


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def sampled(finished_workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished workplace with validation windows and negatives of every role."""
    folder = tmp_path_factory.mktemp("sampled") / "place"
    shutil.copytree(finished_workplace, folder)
    params = (folder / "params.yaml").read_text()
    explainers = "".join(f"  {name}: {json.dumps(entry)}\n" for name, entry in ENTRIES.items())
    params = params.replace("{strategy: quantile, n: 6}", SAMPLING).replace("min_activations: 5", "min_activations: 40")
    (folder / "params.yaml").write_text(params + explainers)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        glossa("sample", "one")
    return folder


@pytest.fixture(autouse=True)
def place(sampled: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(sampled, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")
    runtime_yaml(server.url, concurrency=8)
    server.calls.clear()
    return tmp_path / "place"


def glossa(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", ["default", "cot", "contrastive", "output", "combined"])
def test_one_call_for_every_latent_and_every_explanation_points_at_its_own(name: str, server: Server) -> None:
    glossa("explain", "one", name)
    rows, meta = table.read(paths.explanations("one", name))
    latents = list(Examples.open(paths.examples("one")))
    assert rows["latent"].to_pylist() == [latent.latent for latent in latents]
    alone = sum(not len(latent.train_negative) for latent in latents) if name == "contrastive" else 0
    assert len(server.calls) == len(latents) - alone + PROBES
    assert meta["unexplained"] == ({ALONE: alone} if alone else {})
    rows = rows.filter(rows["request"].is_valid())
    calls = {
        row["key"]: row for row in pq.read_table(paths.explanations("one", name) / "transcript.parquet").to_pylist()
    }
    assert set(calls) == set(rows["request"].to_pylist())
    for row in rows.to_pylist():
        said = json.loads(json.loads(calls[row["request"]]["response"])["choices"][0]["message"]["content"])
        assert row["explanation"] == said["explanation"]


def test_a_rerun_of_best_of_sends_nothing_and_writes_the_same_bytes(server: Server) -> None:
    out = paths.explanations("one", "best")
    glossa("explain", "one", "best")
    first = {file.name: file.read_bytes() for file in out.iterdir()}
    latents = list(Examples.open(paths.examples("one")))
    choosable = sum(len(latent.validation_negative) > 0 for latent in latents)
    assert choosable > len(latents) / 2
    # Three candidates, each judged on four windows at once; one where there is nothing to choose by; two models to try.
    sent = (3 + 3) * choosable + len(latents) - choosable + 4 + 3
    assert len(server.calls) == sent
    glossa("explain", "one", "best")
    assert {file.name: file.read_bytes() for file in out.iterdir()} == first
    assert len(server.calls) == sent
    rows, _ = table.read(out)
    for row in rows.to_pylist():
        candidates = json.loads(row["evidence"])["candidates"]
        assert len({candidate["text"] for candidate in candidates}) in (1, 3)
        best = max(candidates, key=lambda candidate: candidate["score"] or 0)
        assert row["explanation"] == best["text"]


def test_nothing_is_explained_by_none(server: Server) -> None:
    output = glossa("explain", "one", "nothing")
    _, meta = table.read(paths.explanations("one", "nothing"))
    assert meta["unexplained"] == {"no explanation was asked for": meta["latents"]}
    assert f"0 of {meta['latents']} latents explained" in output
    assert not server.calls


def test_contrast_without_negatives_leaves_no_output(finished_workplace: Path, place: Path, server: Server) -> None:
    shutil.rmtree(paths.examples("one"))
    shutil.copytree(finished_workplace / paths.examples("one"), paths.examples("one"))
    for name, missing in (("contrastive", "sampling.train"), ("best", "sampling.validation")):
        result = CliRunner().invoke(main, ["explain", "one", name])
        assert result.exit_code == 1
        assert missing in result.output
        assert "Traceback" not in result.output
        assert not paths.explanations("one", name).exists()
    assert not server.calls
