from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from stages.coders.readers import Options, gemma_scope_2
from stages.errors import GlossaError
from tests.coders.readers.dense import encoded, reconstructed

NONE = Options()
Tensors = dict[str, torch.Tensor]


def config_of(**changes: Any) -> dict[str, Any]:
    """The config.json of a residual stream's coder, as published; a change to None takes a key out."""
    config = {
        "architecture": "jump_relu",
        "model_name": "google/gemma-3-4b-pt",
        "hf_hook_point_in": "model.layers.17.output",
        "hf_hook_point_out": "model.layers.17.output",
        "width": 16,
        "l0": 60,
        "affine_connection": False,
        "type": "sae",
        **changes,
    }
    return {key: value for key, value in config.items() if value is not None}


TRANSCODER = {
    "hf_hook_point_in": "model.layers.5.pre_feedforward_layernorm.output",
    "hf_hook_point_out": "model.layers.5.post_feedforward_layernorm.output",
    "type": "transcoder",
}


def tensors_of(
    d_in: int = 8, n: int = 16, d_out: int = 8, seed: int = 0, skip: bool = False, dtype: torch.dtype = torch.float32
) -> Tensors:
    generator = np.random.default_rng(seed)
    shapes = {"w_enc": (d_in, n), "w_dec": (n, d_out), "b_enc": (n,), "b_dec": (d_out,), "threshold": (n,)}
    if skip:
        shapes["affine_skip_connection"] = (d_in, d_out)
    return {name: torch.tensor(generator.normal(size=shape) / 2).to(dtype) for name, shape in shapes.items()}


def write(folder: Path, config: dict[str, Any] | None, tensors: Tensors) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "params.safetensors")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coder")


@given(
    seed=st.integers(0, 2**32 - 1),
    widths=st.tuples(st.integers(1, 24), st.integers(4, 24), st.integers(1, 24)),
    skip=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
    centre=st.booleans(),
)
def test_encoding_by_hand(
    place: Path, seed: int, widths: tuple[int, int, int], skip: bool, dtype: torch.dtype, centre: bool
) -> None:
    tensors = tensors_of(*widths, seed, skip, dtype)
    config = config_of(**TRANSCODER, width=widths[1], affine_connection=skip)
    coder = gemma_scope_2.read(write(place, config, tensors), Options(centre=centre))
    x = np.random.default_rng(1).normal(size=(30, widths[0])) * 2 + 0.3
    w = {name: value.double().numpy() for name, value in tensors.items()}
    h = (x - x.mean(1, keepdims=True) if centre else x) @ w["w_enc"] + w["b_enc"]
    latents = np.maximum(h, 0) * (h > w["threshold"])
    outputs = latents @ w["w_dec"] + w["b_dec"] + (x @ w["affine_skip_connection"] if skip else 0)
    assert np.allclose(encoded(coder, x), latents, atol=1e-4)
    assert np.allclose(reconstructed(coder, x), outputs, atol=2e-4)


def test_what_the_config_says_about_a_coder(tmp_path: Path) -> None:
    coder = gemma_scope_2.read(write(tmp_path, config_of(), tensors_of()), NONE)
    assert (coder.hookpoint, coder.published_l0) == ("model.layers.17.output", 60)
    coder = gemma_scope_2.read(write(tmp_path, config_of(**TRANSCODER, l0=None), tensors_of()), NONE)
    assert (coder.hookpoint, coder.published_l0) == ("model.layers.5.pre_feedforward_layernorm.output", None)


@pytest.mark.parametrize(
    ("path", "hookpoint"),
    [
        ("resid_post/layer_17_width_16k_l0_medium", "model.layers.17.output"),
        ("resid_post_all/layer_0_width_262k_l0_big", "model.layers.0.output"),
        ("attn_out_all/layer_3_width_16k_l0_small", "model.layers.3.self_attn.o_proj.input"),
        ("mlp_out/layer_13_width_1m_l0_big", "model.layers.13.post_feedforward_layernorm.output"),
        ("transcoder_all/layer_5_width_16k_l0_big_affine", "model.layers.5.pre_feedforward_layernorm.output"),
        ("crosscoder/layer_5_9_12_15_width_1m_l0_big", None),
        ("mine", None),
    ],
)
def test_without_a_config_the_published_folders_say_what_a_coder_reads(
    tmp_path: Path, path: str, hookpoint: str | None
) -> None:
    folder = write(tmp_path / path, None, tensors_of(skip="affine" in path))
    coder = gemma_scope_2.read(folder, NONE)
    assert (coder.hookpoint, coder.published_l0) == (hookpoint, None)
    assert (coder.W_skip is not None) is ("affine" in path)


def test_the_identity_is_of_the_content_not_the_place(tmp_path: Path) -> None:
    def sha(name: str, tensors: Tensors, options: Options = NONE) -> str:
        return str(gemma_scope_2.read(write(tmp_path / name, config_of(), tensors), options).identity["sha256"])

    first = sha("a", tensors_of())
    assert sha("b", tensors_of()) == first
    assert len({first, sha("c", tensors_of(seed=1)), sha("d", tensors_of(), Options(centre=True))}) == 3


def mistake(folder: Path, options: Options = NONE) -> str:
    with pytest.raises(GlossaError) as caught:
        gemma_scope_2.read(folder, options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"architecture": None}, "expected the architecture jump_relu in"),
        ({"architecture": "topk"}, "found topk; no other can be read"),
        ({"architecture": ["jump_relu"]}, "no other can be read"),
        ({"type": "clt"}, "reads or writes several layers, which can't be hooked"),
        ({"type": "crosscoder"}, "reads or writes several layers"),
        ({"hf_hook_point_in": "model.layers.{5,9,12,15}.output"}, "reads or writes several layers"),
        ({"width": 32}, "expected the 32 latents that "),
        ({"width": 0}, "expected a whole number above 0 for width"),
        ({"width": "16k"}, "expected a whole number above 0 for width"),
        ({"l0": "big"}, "expected a number above 0 for l0"),
        ({"affine_connection": True}, "exactly if affine_connection in config.json is true, found it true and none"),
        ({"affine_connection": "no"}, "expected true or false for affine_connection"),
    ],
)
def test_a_config_that_does_not_fit_is_a_mistake(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in mistake(write(tmp_path, config_of(**changes), tensors_of()))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"threshold": None}, "expected a tensor threshold in"),
        ({"w_dec": None}, "expected a tensor w_dec in"),
        ({"log_threshold": torch.ones(16)}, "found log_threshold too"),
        ({"w_dec": torch.ones(12, 8)}, "expected w_dec of shape [16, 8] in"),
        ({"w_dec": torch.ones(16, 3, 8)}, "expected a matrix for w_dec in"),
        ({"b_dec": torch.ones(16)}, "expected b_dec of shape [8] in"),
        ({"b_enc": torch.full((16,), -torch.inf)}, "b_enc holds NaN or infinity"),
        ({"w_enc": torch.ones(8, 0)}, "expected w_enc to hold numbers in"),
        ({"affine_skip_connection": torch.ones(8, 8)}, "is true, found it false and one"),
    ],
)
def test_weights_that_do_not_fit_are_a_mistake(
    tmp_path: Path, changes: dict[str, torch.Tensor | None], expected: str
) -> None:
    tensors = {name: value for name, value in {**tensors_of(), **changes}.items() if value is not None}
    assert expected in mistake(write(tmp_path, config_of(), tensors))


def test_a_factor_is_not_for_these_coders(tmp_path: Path) -> None:
    folder = write(tmp_path, config_of(), tensors_of())
    assert "take norm_factor out of params.yaml" in mistake(folder, Options(norm_factor=2.0))


def test_damaged_files_are_a_mistake(tmp_path: Path) -> None:
    path = write(tmp_path, config_of(), tensors_of()) / "params.safetensors"
    path.write_bytes(b"")
    assert mistake(tmp_path).startswith(f"expected safetensors in {path}, but it can't be read (")
    (tmp_path / "config.json").write_bytes(b"")
    assert mistake(tmp_path).startswith(f"expected JSON in {tmp_path / 'config.json'}")


def test_detection(tmp_path: Path) -> None:
    assert not gemma_scope_2.detect(tmp_path)
    assert gemma_scope_2.detect(write(tmp_path, None, tensors_of()))


def cross_layer(folder: Path, config: dict[str, Any] | None, layers: int = 3, skip: bool = True) -> Path:
    """A cross-layer transcoder of ``layers`` layers."""
    folder.mkdir(parents=True, exist_ok=True)
    for layer in range(layers):
        tensors = tensors_of(seed=layer, skip=skip)
        tensors["w_dec"] = torch.stack([tensors["w_dec"] * (layer + 1)] * layers, 1)
        save_file(tensors, folder / f"params_layer_{layer}.safetensors")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


CLT = {
    "architecture": "jump_relu",
    "type": "clt",
    "hf_hook_point_in": "model.layers.{}.pre_feedforward_layernorm.output",
}


@pytest.mark.parametrize("config", [CLT | {"l0": 50}, None])
def test_a_layer_of_a_cross_layer_transcoder_is_encoded(tmp_path: Path, config: dict[str, Any] | None) -> None:
    folder = cross_layer(tmp_path / "clt" / "width_262k_l0_medium_affine", config)
    file = folder / "params_layer_1.safetensors"
    assert gemma_scope_2.detect(file)
    coder = gemma_scope_2.read(file, NONE)
    assert coder.hookpoint == "model.layers.1.pre_feedforward_layernorm.output"
    assert (coder.W_dec, coder.published_l0) == (None, None), "the l0 of its config is of all layers"
    w = {name: value.double().numpy() for name, value in tensors_of(seed=1).items()}
    x = np.random.default_rng(5).normal(size=(40, 8)) * 2
    h = x @ w["w_enc"] + w["b_enc"]
    assert np.allclose(encoded(coder, x), np.maximum(h, 0) * (h > w["threshold"]), atol=1e-4)
    assert "point at one of params_layer_0.safetensors, params_layer_1.safetensors" in mistake(folder)


def test_what_says_neither_which_kind_nor_which_layers_is_refused(tmp_path: Path) -> None:
    folder = cross_layer(tmp_path / "crosscoder" / "mine", {"architecture": "jump_relu", "type": "crosscoder"}, 2)
    assert "that names the 2 layers of its crosscoder, such as layer_7_13" in mistake(
        folder / "params_layer_1.safetensors"
    )
    plain = cross_layer(tmp_path / "somewhere", None, 2)
    assert "neither type in a config.json beside it nor a folder" in mistake(plain)
    folder = cross_layer(tmp_path / "clt" / "flat", CLT, 1)
    save_file(tensors_of(), folder / "params_layer_0.safetensors")
    assert "expected w_dec of shape [16, layers, width]" in mistake(folder)
