"""Wrong readings of coders that are built so that they are found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from stages import coders
from stages.coders.activations import JumpRelu, Relu, TopK
from stages.coders.sparse_coder import SparseCoder
from stages.subject.load import Subject
from tests import families
from tests.coders.checked import ROWS, affine, at, better, check, fvu, identity, principal, variant
from tests.conftest import WIDTH


@pytest.fixture(scope="module")
def gpt2() -> Subject:
    return Subject(families.make("gpt2"), "gpt2", {}, torch.device("cpu"))


def test_a_transposed_decoder_is_found_out(subject: Subject, tmp_path: Path) -> None:
    def saved(name: str, turned: bool) -> SparseCoder:
        turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0))).Q
        up = torch.full((WIDTH,), 100.0)  # so that the ReLU lets everything through
        b_dec = -turn.T @ up
        folder = tmp_path / name
        folder.mkdir()
        decoder = turn.T if turned else turn
        tensors = {"encoder.weight": turn, "encoder.bias": up + turn @ b_dec, "W_dec": decoder, "b_dec": b_dec}
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "sae.safetensors")
        (folder / "cfg.json").write_text(json.dumps({"k": WIDTH, "d_in": WIDTH, "num_latents": WIDTH}))
        return replace(coders.load(str(folder)), hookpoint="layers.0")

    right = check(subject, saved("right", turned=False))
    assert right.fvu == pytest.approx(0, abs=1e-6)
    assert not better(right)
    wrong = check(subject, saved("wrong", turned=True))
    assert wrong.fvu is not None
    assert wrong.fvu > 0.1
    best = min(better(wrong), key=lambda v: v.fvu or 0)
    assert best.what == "decoder transposed"
    assert best.fvu == pytest.approx(0, abs=1e-6)
    assert best.remedy == "transpose its decoder in the file"


def test_an_encoder_kept_as_the_decoder_is_found_out(subject: Subject) -> None:
    coder = identity("layers.0")
    assert "encoder as decoder" not in [v.what for v in check(subject, coder).variants], "it is the same"
    wrong = check(subject, replace(coder, W_dec=coder.W_dec.flip(0).contiguous()))
    assert variant(wrong, "encoder as decoder").better


def test_a_bias_that_is_or_is_not_subtracted(subject: Subject) -> None:
    x = at(subject, "layers.0")
    coder = affine(principal(x, 3), x.mean(0) + 5, "layers.0")
    assert not variant(check(subject, coder), "b_dec not subtracted").better
    wrong = check(subject, replace(coder, b_pre=torch.zeros(WIDTH)))
    assert variant(wrong, "b_dec subtracted from the input").better


def test_another_layer_is_found_out(subject: Subject) -> None:
    x = at(subject, "layers.0")
    coder = affine(principal(x, 4), x.mean(0), "layers.0")
    right, wrong = check(subject, coder), check(subject, replace(coder, hookpoint="model.layers.1.output"))
    assert [v.what for v in right.variants if v.what.startswith("at")] == [
        "at layers.1, the next layer",
        "at layers.0.input, the input of the same module",
    ]
    assert not better(right)
    assert wrong.reads == "layers.1"
    moved = variant(wrong, "at layers.0, the previous layer")
    assert moved.better
    assert moved.fvu == pytest.approx(right.fvu, rel=1e-5)
    assert moved.remedy == "set hookpoint: layers.0 in its entry in params.yaml"


def test_a_centred_stream(gpt2: Subject, subject: Subject) -> None:
    x = at(gpt2, "h.0")
    centred = x - x.mean(1, keepdim=True)
    coder = affine(principal(centred, 3), centred.mean(0), "h.0")
    wrong = check(gpt2, coder)
    assert variant(wrong, "input mean-centred").better
    assert variant(wrong, "input mean-centred").remedy == "set centre: true in its entry in params.yaml"

    right = check(gpt2, replace(coder, input_norm="centre"))
    assert right.fvu == pytest.approx(fvu(centred, coder.reconstruct(centred)), rel=1e-5)
    assert not variant(right, "input not mean-centred").better
    assert variant(right, "input not mean-centred").remedy == "set centre: false in its entry in params.yaml"
    whole = check(gpt2, identity("h.0", input_norm="centre"))
    assert whole.loss is not None
    assert whole.loss.recovered == pytest.approx(1, abs=1e-5), "the mean is put back"
    assert not [v for v in check(subject, identity("layers.0")).variants if "centred" in v.what], "it has no LayerNorm"


def test_a_normalised_input(subject: Subject) -> None:
    x = at(subject, "layers.0")
    normed = (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)
    coder = affine(principal(normed, 5), normed.mean(0), "layers.0", input_norm="layer_norm")
    assert not variant(check(subject, coder), "input not normalised").better


@pytest.mark.parametrize("norm", ["constant_norm", "layer_norm"])
def test_an_input_that_should_be_normalised(norm: Any) -> None:
    quiet = Subject(families.make("llama"), "quiet", {}, torch.device("cpu"))
    quiet.modules["embed_tokens"].weight /= 30  # below what the coder fires at, unless it is scaled
    ids = torch.arange(ROWS * 5).view(ROWS, 5)
    coder = replace(identity("embed_tokens"), b_enc=torch.full((2 * WIDTH,), -0.3))
    right = check(quiet, replace(coder, input_norm=norm), ids=ids)
    assert right.fvu is not None
    assert right.fvu < 0.5
    assert not better(right)
    what = {"constant_norm": "input scaled to the norm √d_in", "layer_norm": "input standardised"}[norm]
    found = variant(check(quiet, coder, ids=ids), what)
    assert found.better
    assert found.fvu == pytest.approx(right.fvu)
    assert found.remedy == f"set normalise: {norm} in its entry in params.yaml"


def crowded(activation: Any) -> SparseCoder:
    """Four latents that reconstruct, behind a level that their noise does not reach, and 60 that are noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(60, WIDTH, generator=generator) / 30
    both = torch.cat([torch.eye(WIDTH)[:4], -torch.eye(WIDTH)[:4]])
    return replace(
        identity("layers.0"),
        W_enc=torch.cat([both, noise]),
        b_enc=torch.cat([torch.full((8,), 0.0), torch.full((60,), 0.05)]),
        W_dec=torch.cat([both, noise * 60]),
        activation=activation,
    )


def test_another_activation_is_found_out(subject: Subject) -> None:
    wrong = check(subject, crowded(Relu()))
    least = min((v for v in wrong.variants if "largest" in v.what), key=lambda v: v.fvu or 0)
    assert least.what == "only the 8 largest latents"
    assert least.better
    assert least.remedy.startswith("it may be a TopK of about k: 8, its config may disagree")
    for activation in (TopK(4), JumpRelu(torch.cat([torch.zeros(8), torch.full((60,), 9.0)]))):
        right = check(subject, crowded(activation))
        assert right.fvu is not None
        assert wrong.fvu is not None
        assert right.fvu < wrong.fvu
        assert not variant(right, "every latent above 0").better


def test_a_denser_reading_has_to_be_better_by_much(subject: Subject) -> None:
    x = at(subject, "layers.0")
    coder = affine(principal(x, WIDTH), x.mean(0), "layers.0")
    shares = {k: check(subject, replace(coder, activation=TopK(k))) for k in (2, 15)}
    assert variant(shares[2], "every latent above 0").better
    assert shares[15].fvu is not None
    assert not variant(check(subject, replace(coder, activation=TopK(16))), "every latent above 0").better


@pytest.mark.parametrize("config", [{"transcode": True}, {"skip_connection": True}])
def test_a_transcoder_of_sparsify(
    subject: Subject, tmp_path: Path, make_coder: Callable[..., Path], config: dict[str, bool]
) -> None:
    folder = make_coder(tmp_path / "layers.1.mlp", seed=1)
    tensors = load_file(folder / "sae.safetensors")
    y = at(subject, "layers.1.mlp")
    tensors |= {"W_dec": torch.zeros_like(tensors["W_dec"]), "b_dec": y.mean(0)}
    if "skip_connection" in config:
        tensors["W_skip"] = torch.zeros(WIDTH, WIDTH)
    save_file(tensors, folder / "sae.safetensors")
    settings = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps({**settings, **config}))
    found = check(subject, coders.load(str(folder)))
    assert (found.reads, found.reconstructs) == ("layers.1.mlp.input", "layers.1.mlp")
    assert found.fvu == pytest.approx(1, rel=1e-5)
    assert {v.what for v in found.variants} >= {
        "at layers.0.mlp.input, the previous layer",
        "at layers.1.mlp, the output of the same module",
    }


def test_a_transcoder_behind_a_norm_of_gemma() -> None:
    gemma = Subject(families.make("gemma2"), "gemma", {}, torch.device("cpu"))
    gemma.modules["layers.1.pre_feedforward_layernorm"].weight.copy_(torch.linspace(-1, 3, WIDTH))
    reads, reconstructs = "layers.1.pre_feedforward_layernorm.normalized", "layers.1.post_feedforward_layernorm"
    x, y = at(gemma, reads), at(gemma, reconstructs)
    one = torch.ones(len(x), 1)
    fit = torch.linalg.lstsq(torch.cat([x, one], 1), y).solution
    coder = SparseCoder(
        W_enc=torch.eye(WIDTH),
        b_enc=torch.full((WIDTH,), -1e6),
        W_dec=torch.zeros(WIDTH, WIDTH),
        b_dec=fit[-1],
        b_pre=torch.zeros(WIDTH),
        activation=Relu(),
        source="here",
        identity={"format": "gemma_scope"},
        W_skip=fit[:-1].T.contiguous(),
        hookpoint=reads,
        reconstructs="blocks.1.hook_mlp_out",
    )
    found = check(gemma, coder)
    assert (found.reads, found.reconstructs) == (reads, reconstructs)
    assert found.fvu == pytest.approx(fvu(y, torch.cat([x, one], 1) @ fit), rel=1e-4)
    assert found.fvu is not None
    gained = variant(found, "at layers.1.pre_feedforward_layernorm, the output of the same module")
    assert gained.fvu is not None
    assert gained.fvu > found.fvu + 0.01, "forgetting that the gain is left out must show"
    assert not better(found)
    assert found.loss is not None
    assert check(gemma, replace(coder, reconstructs=None)).undefined["loss"] == (
        f"no module gives or takes {reads}, so nothing can stand in for it"
    )
