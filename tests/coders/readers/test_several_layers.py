"""Layers of cross-layer transcoders, and crosscoders, against what their authors' formulas give in float64."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages import coders
from stages.coders.readers import Options
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from tests.coders.readers import on_disk
from tests.coders.readers.by_hand import inputs, relu, top, weights
from tests.coders.readers.dense import encoded, reconstructed
from tests.coders.readers.several_layers_folders import (
    circuit_tracer,
    gemma_scope_2_layer,
    hub_crosscoder,
    hub_mixin,
    llamascopium_clt,
    llamascopium_crosscoder,
)

SQRT_D = 8**0.5


def load(made: on_disk.Made) -> SparseCoder:
    return coders.load(str(made.path), made.options)


def places(coder: SparseCoder) -> list[str]:
    return [write.hookpoint for write in coder.writes]


def written(coder: SparseCoder, x: np.ndarray, at: int) -> np.ndarray:
    """What its latents write to a place of the inputs."""
    return encoded(coder, x) @ coder.writes[at].matrix().numpy()


@pytest.mark.parametrize(
    ("kind", "reads", "writes", "tensors"),
    [
        (
            "clt",
            "model.layers.1.pre_feedforward_layernorm.output",
            [f"model.layers.{layer}.post_feedforward_layernorm.output" for layer in (1, 2)],
            [1, 2],
        ),
        ("crosscoder", "model.layers.13.output", [f"model.layers.{layer}.output" for layer in (7, 13, 19)], [0, 1, 2]),
    ],
)
def test_gemma_scope_2(tmp_path: Path, kind: str, reads: str, writes: list[str], tensors: list[int]) -> None:
    made = gemma_scope_2_layer(tmp_path, kind=kind)
    coder, w, x = load(made), weights(made.weights), inputs(8)
    h = x @ w["w_enc"] + w["b_enc"]
    latents = h * (h > w["threshold"])
    assert np.allclose(encoded(coder, x), latents, atol=1e-5)
    assert (coder.hookpoint, places(coder)) == (reads, writes)
    for at, tensor in enumerate(tensors):
        assert np.allclose(written(coder, x, at), latents @ w["w_dec"][:, tensor], atol=1e-4)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    made = gemma_scope_2_layer(tmp_path)
    assert made.config is not None
    on_disk.write_config(made.config, {"architecture": "topk", "type": "clt"})
    with pytest.raises(GlossaError, match="expected the architecture jump_relu in"):
        load(made)


def test_the_layers_of_a_crosscoder_may_stand_in_its_config(tmp_path: Path) -> None:
    made = gemma_scope_2_layer(tmp_path, kind="crosscoder")
    folder = made.path.parent.rename(tmp_path / "crosscoder" / "mine")
    on_disk.edit(folder / "config.json", hf_hook_point_in="model.layers.{5,9,12}.output")
    coder = coders.load(str(folder / made.path.name))
    assert (coder.hookpoint, places(coder)[2]) == ("model.layers.9.output", "model.layers.12.output")


def test_circuit_tracer(tmp_path: Path) -> None:
    made = circuit_tracer(tmp_path, threshold=True, cross_layer=True, decoders=True)
    coder = load(made)
    assert places(coder) == ["blocks.3.hook_mlp_out", "blocks.4.hook_mlp_out"]
    decoders = weights(tmp_path / "W_dec_3.safetensors")["W_dec_3"]
    for at in (0, 1):
        assert np.allclose(coder.writes[at].matrix().numpy(), decoders[:, at])
    alone = coder.identity["sha256"]
    on_disk.write_tensors(tmp_path / "W_dec_3.safetensors", {"W_dec_3": torch.ones(16, 2, 8)})
    assert load(made).identity["sha256"] != alone
    on_disk.write_tensors(tmp_path / "W_dec_3.safetensors", {"W_dec_3": torch.ones(12, 2, 8)})
    with pytest.raises(
        GlossaError, match=r"W_dec_3 of shape \[16, layers, 8\] in .*W_dec_3.safetensors, found \[12, 2, 8\]"
    ):
        load(made)


@pytest.mark.parametrize("weighed", [True, False])
@pytest.mark.parametrize("act_fn", ["relu", "jumprelu", "topk"])
def test_a_layer_of_a_cross_layer_transcoder_of_openmoss(tmp_path: Path, act_fn: str, weighed: bool) -> None:
    made = llamascopium_clt(tmp_path, act_fn=act_fn, sparsity_include_decoder_norm=weighed)
    coder, w, x = load(made), weights(made.weights), inputs(8)
    norm_in, norms_out = 4.0, (7.0, 8.0)  # of place 1, of places 1 and 2
    norms = np.sqrt(sum((w[f"W_D.{to}"][1] ** 2).sum(1) for to in (1, 2))) if weighed else np.ones(16)
    h = (x * SQRT_D / norm_in @ w["W_E"][1] + w["b_E"][1]) * norms
    fires = {
        "relu": lambda: relu(h),
        "jumprelu": lambda: h * (h > np.exp(w["activation_function.log_jumprelu_threshold"][1])),
        "topk": lambda: top(relu(h), 3),
    }[act_fn]()
    trained = fires / norms
    units = SQRT_D / norm_in / (norms if act_fn == "topk" else 1)  # what values here are divided by
    assert np.allclose(encoded(coder, x), trained / units, atol=1e-4)
    assert (coder.hookpoint, places(coder)) == (
        "blocks.1.hook_resid_mid",
        ["blocks.1.hook_mlp_out", "blocks.2.hook_mlp_out"],
    )
    for at, (to, norm) in enumerate(zip((1, 2), norms_out, strict=True)):
        expected = trained @ w[f"W_D.{to}"][1] * norm / SQRT_D
        assert np.allclose(written(coder, x, at), expected, atol=1e-3)
    some = coder.writes[1].rows([3, 11])
    assert torch.allclose(some, coder.writes[1].matrix()[[3, 11]])


@pytest.mark.parametrize("act_fn", ["relu", "jumprelu"])
def test_a_crosscoder_of_openmoss(tmp_path: Path, act_fn: str) -> None:
    made = llamascopium_crosscoder(tmp_path, act_fn=act_fn)
    coder, w, x = load(made), weights(made.weights), inputs(16)
    scales = [SQRT_D / 3.0, SQRT_D / 4.0]
    parts = [x[:, :8] * scales[0], x[:, 8:] * scales[1]]
    h = sum(part @ w["W_E"][at] + w["b_E"][at] for at, part in enumerate(parts))
    norms = np.linalg.norm(w["W_D"], axis=2)
    threshold = np.exp(w["activation_function.log_jumprelu_threshold"]) if act_fn == "jumprelu" else np.zeros(16)
    each = [h * (h * norms[at] > threshold) for at in (0, 1)]  # latents at each place
    assert np.allclose(encoded(coder, x), np.maximum(*each), atol=1e-4)
    assert (coder.hookpoint, places(coder)) == (
        "blocks.0.hook_resid_post + blocks.1.hook_resid_post",
        ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"],
    )
    for at in (0, 1):
        assert np.allclose(coder.writes[at].matrix().numpy(), w["W_D"][at] / scales[at], atol=1e-5)
    if act_fn == "jumprelu":
        assert (each[0] != each[1]).any(), "so that no one activation reconstructs both"
        assert coder.W_dec is None
    else:
        made_of = np.hstack([(each[at] @ w["W_D"][at] + w["b_D"][at]) / scales[at] for at in (0, 1)])
        assert np.allclose(reconstructed(coder, x), made_of, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "changes", "expected"),
    [
        (llamascopium_clt, {"act_fn": "layertopk"}, "layertopk keeps the largest of all layers together"),
        (llamascopium_clt, {"act_fn": "batchtopk"}, "what fires at a token depends on the others in its batch"),
        (llamascopium_clt, {"act_fn": "batchlayertopk"}, "what fires at a token depends on the others in its batch"),
        (llamascopium_clt, {"norm_activation": "token-wise"}, "on a scale of its own at every token"),
        (llamascopium_clt, {"hook_points_out": ["blocks.0.hook_mlp_out"]}, "as many hook_points_out as hook_points_in"),
        (llamascopium_clt, {"hook_points_in": "all"}, "expected a list of hookpoints for hook_points_in"),
        (llamascopium_crosscoder, {"act_fn": "topk"}, "keeps others of its latents at each of its places"),
        (llamascopium_crosscoder, {"act_fn": "batchtopk"}, "depends on the others in its batch"),
        (
            llamascopium_crosscoder,
            {"sparsity_include_decoder_norm": False},
            "expected sparsity_include_decoder_norm: true",
        ),
    ],
)
def test_what_cannot_be_told_of_a_place_alone_is_refused(
    tmp_path: Path, make: Any, changes: dict[str, Any], expected: str
) -> None:
    made = make(tmp_path)
    on_disk.edit(made.config, **changes)
    with pytest.raises(GlossaError, match=expected):
        load(made)


def test_of_a_cross_layer_transcoder_a_layer_has_to_be_named(tmp_path: Path) -> None:
    made = llamascopium_clt(tmp_path)
    for hookpoint in (None, "layers.1"):
        with pytest.raises(
            GlossaError, match=r"of 3 layers, .* one of blocks.0.hook_resid_mid, blocks.1.hook_resid_mid, blocks"
        ):
            coders.load(str(made.path), Options(hookpoint=hookpoint))


def factor(w: dict[str, np.ndarray], normalization: int) -> np.ndarray:
    norms, whole = np.linalg.norm(w["decoder.weight"], axis=2), np.sqrt((w["decoder.weight"] ** 2).sum((0, 2)))
    return {1: norms.sum(0), 2: whole, 3: whole + 0.1 * norms.sum(0), 4: np.ones(16)}[normalization]


@pytest.mark.parametrize("normalization", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("batch", [False, True])
def test_a_crosscoder_of_a_hub_mixin(tmp_path: Path, batch: bool, normalization: int) -> None:
    made = hub_crosscoder(tmp_path, batch=batch, normalization=normalization)
    coder, w, x = load(made), weights(made.weights), inputs(16)
    f = relu(x[:, :8] @ w["encoder.weight"][0] + x[:, 8:] @ w["encoder.weight"][1] + w["encoder.bias"])
    norms = np.linalg.norm(w["decoder.weight"], axis=2)
    if batch and normalization == 5:
        latents = f * (f[:, None] * norms > w["threshold"][:, None]).any(1)
    else:
        latents = f * (f * factor(w, normalization) > w["threshold"]) if batch else f
    assert np.allclose(encoded(coder, x), latents, atol=1e-4)
    assert (latents == 0).any()
    assert places(coder) == ["layers.0", "layers.3"]
    assert (coder.hookpoint, coder.published_l0) == ("layers.0 + layers.3", 3 if batch else None)
    if batch and normalization == 5:
        assert coder.W_dec is None
    else:
        expected = np.hstack([latents @ w["decoder.weight"][at] + w["decoder.bias"][at] for at in (0, 1)])
        assert np.allclose(reconstructed(coder, x), expected, atol=1e-3)


@pytest.mark.parametrize("batch", [False, True])
def test_an_autoencoder_of_a_hub_mixin(tmp_path: Path, batch: bool) -> None:
    made = hub_mixin(tmp_path, batch=batch)
    coder, w, x = load(made), weights(made.weights), inputs(8)
    bias = w["b_dec" if batch else "bias"]
    f = relu((x - bias) @ w["encoder.weight"].T + w["encoder.bias"])
    f = f * (f > w["threshold"]) if batch else f
    assert np.allclose(encoded(coder, x), f, atol=1e-4)
    assert np.allclose(reconstructed(coder, x), f @ w["decoder.weight"].T + bias, atol=1e-4)
    assert coder.hookpoint is None


def test_the_places_of_a_crosscoder_have_to_be_named(tmp_path: Path) -> None:
    made = hub_crosscoder(tmp_path)

    def said(options: Options) -> str:
        with pytest.raises(GlossaError) as caught:
            coders.load(str(made.path), options)
        return str(caught.value)

    assert "reads 2 places at once, which its files don't name" in said(Options())
    assert "as in model diffing, it can't be read" in said(Options())
    assert "but params.yaml names 1 (layers.3); name as many" in said(Options(hookpoint="layers.3"))
    assert "each once, found 'layers.3 + layers.3'" in said(Options(hookpoint="layers.3 + layers.3"))
    mixed = "reads several places, whose values centre and normalise would mix"
    assert mixed in said(Options(hookpoint=made.hookpoint, centre=True))
    on_disk.edit(made.config, code_normalization="loud")  # type: ignore[arg-type]
    tensors = on_disk.read_tensors(made.weights)
    del tensors["code_normalization_id"]
    on_disk.write_tensors(made.weights, tensors)
    assert "expected code_normalization to be one of crosscoder, sae, " in said(made.options)


def test_a_threshold_that_training_never_set(tmp_path: Path) -> None:
    made = hub_crosscoder(tmp_path, batch=True)
    tensors = on_disk.read_tensors(made.weights)
    on_disk.write_tensors(made.weights, {**tensors, "threshold": torch.tensor(-1.0)})
    with pytest.raises(GlossaError, match="found -1: training never set them"):
        load(made)


@pytest.mark.parametrize("places", [2, 3])
def test_a_crosscoder_that_is_weights_alone_is_named(tmp_path: Path, places: int) -> None:
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    file = tmp_path / "cc_weights.pt"
    tensors = {"W_enc": draw(places, 8, 16), "b_enc": draw(16), "W_dec": draw(16, places, 8), "b_dec": draw(places, 8)}
    torch.save(tensors, file)
    with pytest.raises(GlossaError, match=f"is a crosscoder, whose encoder reads {places} places at once, in files"):
        coders.load(str(file), Options(activation="relu", pre_bias=False))
