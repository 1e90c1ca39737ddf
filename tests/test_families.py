"""Every architecture, from its own tokens to sampled examples, through the real commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from stages import paths
from stages.cli import main
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from tests import families
from tests.coders.readers import by_hand, folders
from tests.conftest import PARAMS

RESIDUAL = {
    "gpt2": "h.1",
    "gpt_neox": "layers.1",
    "llama": "model.layers.1.output",
    "gemma2": "blocks.1.hook_resid_post",
}
DOWN = {
    "gpt2": "transformer.h.0.mlp.c_proj",
    "gpt_neox": "gpt_neox.layers.0.mlp.dense_4h_to_h",
    "llama": "model.layers.0.mlp.down_proj",
    "gemma2": "model.layers.0.mlp.down_proj",
}
MAKERS = {
    "gpt2": folders.openai,
    "gpt_neox": folders.sparsify,
    "llama": folders.llama_scope,
    "gemma2": folders.gemma_scope,
}
"""The format that coders of a family were published in."""


@pytest.mark.parametrize("family", RESIDUAL)
def test_coders_and_the_neurons_are_cached_and_sampled(
    family: str, tmp_path: Path, subject_folder: Path, finished_workplace: Path, make_coder: Callable[..., Path]
) -> None:
    shutil.copytree(finished_workplace / "texts", tmp_path / "texts")
    model = families.make(family, vocab_size=320)
    model.save_pretrained(tmp_path / "subject")
    for file in subject_folder.glob("tokenizer*"):
        shutil.copy(file, tmp_path / "subject")
    make_coder(tmp_path / "coders/one", seed=1)
    made = MAKERS[family](tmp_path / "coders/own", d=16, n=32)
    coders = {
        "one": f"{{path: coders/one, hookpoint: {RESIDUAL[family]}}}",
        "own": f"{{path: {made.path.relative_to(tmp_path)}, hookpoint: {RESIDUAL[family]}}}",
        "neurons": "{kind: neurons, hookpoint: blocks.0.mlp.hook_post, k: 5}",
    }
    entries = "coders:\n" + "".join(f"  {name}: {entry}\n" for name, entry in coders.items()) + "sampling:"
    start, rest = PARAMS.split("coders:\n")[0], PARAMS.split("sampling:")[1]
    (tmp_path / "params.yaml").write_text(start.replace("3_200", "1_280") + entries + rest)
    with chdir(tmp_path):
        for arguments in (["tokenize"], *([stage, name] for stage in ("cache", "sample") for name in coders)):
            result = CliRunner().invoke(main, arguments, env={"GLOSSA_HOME": str(tmp_path / "home")})
            assert result.exit_code == 0, result.output
        check(model, family, made.weights)


def check(model: torch.nn.Module, family: str, weights: Path) -> None:
    """The stored activations of all coders are those of a forward pass without any of our code."""
    tokens = Tokens.open()
    ids = torch.from_numpy(tokens.matrix.astype(np.int64))
    read = {}
    projection = model.get_submodule(DOWN[family])
    handle = projection.register_forward_pre_hook(lambda module, args: read.update(neurons=args[0]))
    block = model.get_submodule(DOWN[family].rsplit(".mlp", 1)[0].replace(".0", ".1"))
    other = block.register_forward_hook(
        lambda module, args, output: read.update(one=output[0] if isinstance(output, tuple) else output)
    )
    model(input_ids=ids)
    handle.remove()
    other.remove()

    read["own"] = read["one"]
    ordinary = ~tokens.vocabulary.special[tokens.matrix]
    for name, x in read.items():
        x = x.flatten(0, 1).numpy()
        match name:
            case "neurons":
                expected = top_neurons(x)
            case "one":
                expected = sparsify(x)
            case _:
                expected = OWN[family](by_hand.weights(weights), x.astype(np.float64))
        expected[~ordinary.ravel()] = 0
        found = LatentStore.open(paths.latents(name)).csr().toarray().T
        assert np.allclose(found, expected, atol=1e-3), name
        assert (found != 0).sum() > 1000
        examples = Examples.open(paths.examples(name))
        assert examples.meta["hookpoint"]


def top_neurons(x: np.ndarray) -> np.ndarray:
    """The 5 largest of every row."""
    kept = np.zeros_like(x)
    places = np.argsort(-x, axis=1, kind="stable")[:, :5]
    np.put_along_axis(kept, places, np.take_along_axis(x, places, 1), 1)
    return kept


def sparsify(x: np.ndarray) -> np.ndarray:
    """The 4 largest latents of every row that are above 0, of the coder in coders/one."""
    from safetensors.numpy import load_file

    weights = load_file("coders/one/sae.safetensors")
    h = (x - weights["b_dec"]) @ weights["encoder.weight"].T + weights["encoder.bias"]
    kept = np.zeros_like(h)
    places = np.argsort(-h, axis=1, kind="stable")[:, :4]
    np.put_along_axis(kept, places, np.maximum(np.take_along_axis(h, places, 1), 0), 1)
    return kept


def openai(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """TopK of a standardised input."""
    x = (x - x.mean(1, keepdims=True)) / (x.std(1, ddof=1, keepdims=True) + 1e-5)
    h = (x - w["pre_bias"]) @ w["encoder.weight"].T + w["latent_bias"]
    return by_hand.relu(by_hand.top(h, folders.K))


def of_pythia(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """TopK, the decoder's bias subtracted."""
    return by_hand.relu(by_hand.top((x - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"], folders.K))


def llama_scope(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """JumpReLU of one threshold in units of unit decoder rows; the average norms are 7 and 9."""
    s_in, s_out = 4 / 7, 4 / 9
    h = x @ w["encoder.weight"].T + w["encoder.bias"] / s_in
    h *= np.linalg.norm(w["decoder.weight"] * s_in / s_out, axis=0)
    return h * (h > 0.5)


def gemma_scope(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """JumpReLU of a threshold for every latent."""
    h = x @ w["W_enc"] + w["b_enc"]
    return h * (h > w["threshold"])


OWN = {"gpt2": openai, "gpt_neox": of_pythia, "llama": llama_scope, "gemma2": gemma_scope}
