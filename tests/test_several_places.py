"""Coders of several places, through the stages: what is stored, sampled and shown of them."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from stages import coders, paths
from stages.cli import main
from stages.coders.readers import Options
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from stages.subject.steering import Steering
from tests.coders.readers import folders
from tests.conftest import WIDTH
from tests.site.reading import load
from tests.test_tokenize import edit

SCORER = """\
models:
  judge: {provider: transformers, model: judge}
scorers:
  steered: {kind: intervention, model: judge, latents: 4, per_quintile: 2}
explainers:"""
LAYERS = ["layers.0.mlp", "layers.1.mlp"]


@pytest.fixture
def tokenized(workplace: Path, finished_workplace: Path) -> Path:
    """The working folder after tokenize, with a cross-layer transcoder and a crosscoder instead of its coders."""
    shutil.copytree(finished_workplace / "data/tokens", workplace / "data/tokens")
    folders.llamascopium_clt(workplace / "coders/clt", layers=2, d=WIDTH, n=24)
    folders.hub_crosscoder(workplace / "coders/both", d=WIDTH, n=24)
    edit(workplace / "params.yaml", "coders/one, hookpoint: layers.0", "coders/clt, hookpoint: blocks.0.hook_resid_mid")
    edit(workplace / "params.yaml", "coders/two, hookpoint: layers.1", "coders/both, hookpoint: layers.0 + layers.1")
    return workplace


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_layer_of_a_cross_layer_transcoder_is_explained_with_what_it_writes(tokenized: Path) -> None:
    run("cache", "one")
    store = LatentStore.open(paths.latents("one"))
    coder = coders.load("coders/clt", Options(hookpoint="blocks.0.hook_resid_mid"))
    norms = torch.stack([write.matrix().norm(dim=1) for write in coder.writes], 1).numpy()
    assert store.meta["writes"] == LAYERS
    found, tokens = store.output("place_norms"), store.output("place_tokens")
    assert found is not None
    assert tokens is not None
    np.testing.assert_allclose(found, norms, rtol=1e-5)
    assert tokens.shape == (24, 2, 5)

    run("sample", "one")
    examples = Examples.open(paths.examples("one"))
    assert examples.meta["writes"] == LAYERS
    latent = next(iter(examples))
    assert latent.facts["place_tokens"] == tokens[latent.latent].tolist()
    np.testing.assert_allclose(latent.facts["place_norms"], norms[latent.latent], rtol=1e-5)
    shown = run("show", "one", str(latent.latent))
    assert "Written at\n" in shown
    for name, norm in zip(LAYERS, norms[latent.latent], strict=True):
        assert f"  {name}, norm {norm:.3g}  '" in shown


@pytest.fixture
def scored(tokenized: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The cross-layer transcoder through every stage; returns the prompts behind which the subject wrote."""
    shutil.copytree("subject", "judge")
    edit(Path("judge/config.json"), '"max_position_embeddings": 64', '"max_position_embeddings": 4096')
    edit(Path("params.yaml"), "  two: {path: coders/both, hookpoint: layers.0 + layers.1}\n", "")
    edit(Path("params.yaml"), "explainers:", SCORER)
    prompts: list[list[int]] = []
    write = Steering.write

    def note(self: Steering, behind: list[list[int]], *more: Any) -> list[list[int]]:
        prompts[:] = behind
        return write(self, behind, *more)

    monkeypatch.setattr(Steering, "write", note)
    for stage in ("cache one", "sample one", "explain one pattern", "score one pattern steered", "compare", "report"):
        run(*stage.split())
    return prompts


def test_intervention_raises_a_latent_wherever_it_writes(scored: list[list[int]], subject: Subject) -> None:
    coder = coders.load("coders/clt", Options(hookpoint="blocks.0.hook_resid_mid"))
    written = [write.matrix() for write in coder.writes]
    folder = paths.scores("one", "pattern", "steered")
    own = pc.field("explanation") == "own"
    verdicts = pq.read_table(folder / "verdicts.parquet", filters=own & (pc.field("kind") == "clean"))
    owners = verdicts["latent"].to_pylist()
    assert len(owners) == len(scored)
    found: dict[str, dict[int, float]] = {}
    for row in pq.read_table(folder / "measures.parquet", filters=own).to_pylist():
        found.setdefault(row["metric"], {})[row["latent"]] = row["value"]
    assert len(found["strength"]) == 4
    for latent, strength in found["strength"].items():
        prompts = [prompt for prompt, owner in zip(scored, owners, strict=True) if owner == latent]
        vectors = [strength * matrix[latent] for matrix in written]
        both = divergence(subject, prompts, dict(enumerate(vectors)))
        assert both == pytest.approx(found["divergence"][latent], rel=1e-3)
        assert both != pytest.approx(divergence(subject, prompts, {0: vectors[0]}), rel=0.05)


def divergence(subject: Subject, prompts: list[list[int]], changes: dict[int, Tensor]) -> float:
    """Mean of KL(changed ‖ clean) behind prompts, where what some MLPs write at the last token is changed."""

    def add(vector: Tensor) -> Any:
        def change(module: Any, args: Any, output: Tensor) -> Tensor:
            output[:, -1] += vector
            return output

        return change

    total = 0.0
    for prompt in prompts:
        ids = torch.tensor([prompt])
        with torch.inference_mode(), ExitStack() as stack:
            clean = subject.model(input_ids=ids).logits[0, -1].log_softmax(-1)
            for layer, vector in changes.items():
                stack.callback(subject.modules[f"layers.{layer}.mlp"].register_forward_hook(add(vector)).remove)
            changed = subject.model(input_ids=ids).logits[0, -1].log_softmax(-1)
        total += float((changed.exp() * (changed - clean)).sum())
    return total / len(prompts)


def test_the_report_shows_what_a_layer_writes(scored: list[list[int]]) -> None:
    data = Path("results/report/data")
    (coder,) = load(data, "manifest")["coders"]
    assert coder["writes"] == LAYERS
    store = LatentStore.open(paths.latents("one"))
    norms = store.output("place_norms")
    assert norms is not None
    for latent in load(data, "one/latents/0")["latents"]:
        assert [norm for norm, _ in latent["places"]] == pytest.approx(norms[latent["id"]].tolist(), rel=1e-2)
        assert all(len(promoted) == 5 for _, promoted in latent["places"])


def test_a_crosscoder_fires_by_all_that_it_reads(tokenized: Path, subject: Subject) -> None:
    run("cache", "two")
    store = LatentStore.open(paths.latents("two"))
    assert store.meta["hookpoint"] == "layers.0 + layers.1"
    assert store.meta["writes"] == ["layers.0", "layers.1"]
    tokens = Tokens.open()
    ids = torch.from_numpy(tokens.matrix[:2].astype(np.int64))
    x = torch.cat([activations(subject, [place], ids)[place] for place in ("layers.0", "layers.1")], -1).flatten(0, 1)
    events = coders.load("coders/both", Options(hookpoint="layers.0 + layers.1")).encode(x)
    dense = np.zeros((24, len(x)), np.float32)
    dense[events.latents, events.rows] = events.values
    dense[:, tokens.vocabulary.special[tokens.matrix[:2].ravel()]] = 0
    np.testing.assert_allclose(store.csr()[:, : len(x)].toarray(), dense, rtol=1e-4, atol=1e-4)
