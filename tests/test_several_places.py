"""Coders of several places, through the stages: what is stored, sampled and shown of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stages import coders, paths
from stages.cli import main
from stages.coders.readers import Options
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from tests.coders.readers import folders
from tests.conftest import WIDTH
from tests.test_tokenize import edit

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
