from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.coders.readers import Options, circuit_tracer
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk
from tests.coders.readers.by_hand import any_shape, assert_computes, inputs, relu, top, weights
from tests.coders.readers.dense import encoded


@given(any_shape, st.sampled_from([None, "relu", "topk", "jumprelu"]), st.booleans(), st.booleans())
def test_encoding_and_decoding_by_hand(
    shape: dict[str, Any], activation: str | None, threshold: bool, skip: bool
) -> None:
    threshold = activation == "jumprelu" or (threshold and activation is None)
    with TemporaryDirectory() as folder:
        made = folders.circuit_tracer(Path(folder), **shape, activation=activation, threshold=threshold, skip=skip)
        coder, w = circuit_tracer.read(made.path, Options()), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    h = x @ w["W_enc"].T + w["b_enc"]
    if threshold:
        latents = h * (h > w["activation_function.threshold"])
    else:
        latents = top(h, 3) if activation == "topk" else relu(h)  # circuit-tracer's TopK has no ReLU
    assert_computes(coder, x, latents, latents @ w["W_dec"] + w["b_dec"] + (x @ w["W_skip"].T if skip else 0))
    assert (coder.hookpoint, coder.published_l0) == ("blocks.3.mlp.hook_in", 3 if activation == "topk" else None)
    assert coder.activation.signed == (activation == "topk")


@given(any_shape, st.booleans())
def test_of_a_cross_layer_transcoder_the_encoder_is_read(shape: dict[str, Any], threshold: bool) -> None:
    with TemporaryDirectory() as folder:
        made = folders.circuit_tracer(Path(folder), **shape, threshold=threshold, cross_layer=True)
        coder, w = circuit_tracer.read(made.path, Options()), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    h = x @ w["W_enc_3"].T + w["b_enc_3"]
    assert np.allclose(encoded(coder, x), h * (h > w.get("threshold_3", 0)), atol=1e-4)
    assert coder.W_dec is None


def test_of_many_layers_one_has_to_be_named(tmp_path: Path) -> None:
    made = folders.circuit_tracer(tmp_path)
    assert circuit_tracer.detect(tmp_path)
    assert circuit_tracer.read(tmp_path, Options()).identity == circuit_tracer.read(made.path, Options()).identity
    for layer in (10, 2):
        (tmp_path / f"layer_{layer}.safetensors").write_bytes(made.weights.read_bytes())
    with pytest.raises(GlossaError) as caught:
        circuit_tracer.read(tmp_path, Options())
    assert "found 3 in" in str(caught.value)
    assert "one of layer_2.safetensors, layer_3.safetensors, layer_10.safetensors" in str(caught.value)
    assert circuit_tracer.read(tmp_path / "layer_10.safetensors", Options()).hookpoint == "blocks.10.mlp.hook_in"


def test_layers_that_lie_elsewhere_are_named(tmp_path: Path) -> None:
    on_disk.write_config(
        tmp_path / "config.yaml", {"transcoders": ["hf://a/b/layer_0/params.npz", "hf://a/b/layer_1/params.npz"]}
    )
    assert circuit_tracer.detect(tmp_path)
    with pytest.raises(GlossaError, match=r"point at one of hf://a/b/layer_0/params.npz, hf://a/b/layer_1"):
        circuit_tracer.read(tmp_path, Options())


@pytest.mark.parametrize("wandb", ["wandb-config.yaml", "wanb-config.yaml"])
@pytest.mark.parametrize("config", [{"model_name": "Qwen/Qwen3-4B"}, None])
def test_the_qwen_transcoders_read_before_the_mlp(tmp_path: Path, wandb: str, config: dict[str, Any] | None) -> None:
    made = folders.circuit_tracer(tmp_path)
    assert made.config is not None
    made.config.unlink()
    if config:
        on_disk.write_config(made.config, config)
    on_disk.write_config(tmp_path / wandb, {"d_model": {"value": 8}, "d_feature": {"value": 16}})
    assert circuit_tracer.read(made.path, Options()).hookpoint == "blocks.3.mlp.hook_in"


@pytest.mark.parametrize(
    ("flags", "config", "expected"),
    [
        ({}, {"activation": "gelu"}, "expected the activation relu, topk or jumprelu in"),
        ({}, {"activation": "topk"}, "expected a whole number from 1 to 16 for k in"),
        ({}, {"activation": "topk", "k": True}, "found True"),
        ({}, {"activation": "jumprelu"}, "expected a tensor activation_function.threshold in"),
        ({"threshold": True}, {"activation": "relu"}, "expected no thresholds in"),
        ({"threshold": True}, {"activation": "topk", "k": 3}, "expected no thresholds in"),
    ],
)
def test_an_activation_that_does_not_fit_is_a_mistake(
    tmp_path: Path, flags: dict[str, Any], config: dict[str, Any], expected: str
) -> None:
    made = folders.circuit_tracer(tmp_path, **flags)
    assert made.config is not None
    on_disk.edit(made.config, **config)
    with pytest.raises(GlossaError) as caught:
        circuit_tracer.read(made.path, Options())
    assert expected in str(caught.value)


def test_k_may_be_said_elsewhere(tmp_path: Path) -> None:
    made = folders.circuit_tracer(tmp_path / "models--facebook--crv-8b-instruct-transcoders", activation="topk", n=200)
    assert made.config is not None
    assert circuit_tracer.read(made.path, Options()).published_l0 == 3
    on_disk.edit(made.config, k=None)
    assert circuit_tracer.read(made.path, Options()).published_l0 == 128
    on_disk.write_tensors(made.weights, {**on_disk.read_tensors(made.weights), "k": torch.tensor(5)})
    assert circuit_tracer.read(made.path, Options()).published_l0 == 5


def test_thresholds_below_0_are_refused(tmp_path: Path) -> None:
    made = folders.circuit_tracer(tmp_path, threshold=True)
    tensors = on_disk.read_tensors(made.weights)
    tensors["activation_function.threshold"][4] = -0.5
    on_disk.write_tensors(made.weights, tensors)
    with pytest.raises(GlossaError, match=r"expected thresholds of at least 0 in .*, found -0.5"):
        circuit_tracer.read(made.path, Options())


def test_without_a_config_a_layer_is_not_guessed_at(tmp_path: Path) -> None:
    made = folders.circuit_tracer(tmp_path)
    assert made.config is not None
    made.config.unlink()
    with pytest.raises(GlossaError, match=r"expected config\.yaml in .*, found none"):
        circuit_tracer.read(made.path, Options())
