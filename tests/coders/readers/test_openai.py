from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.coders.readers import Options, openai
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk
from tests.coders.readers.by_hand import any_shape, assert_computes, inputs, relu, top, weights


@given(
    any_shape, st.integers(1, 4), st.sampled_from([("TopK", "ReLU"), ("TopK", "Identity"), ("ReLU", ""), (None, "")])
)
def test_encoding_and_decoding_by_hand(shape: dict[str, Any], k: int, kind: tuple[str | None, str]) -> None:
    activation, after = kind
    with TemporaryDirectory() as folder:
        made = folders.openai(Path(folder), **shape, k=k, activation=activation, after=after)
        coder, w = openai.read(made.path, Options()), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    mean, std = 0.0, 1.0
    if activation == "TopK":  # then the input is standardised, with an unbiased deviation, and the output put back
        mean, std = x.mean(axis=1, keepdims=True), x.std(axis=1, ddof=1, keepdims=True)
        h = ((x - mean) / (std + 1e-5) - w["pre_bias"]) @ w["encoder.weight"].T + w["latent_bias"]
        latents = top(h, k) if after == "Identity" else relu(top(h, k))
    else:
        latents = relu((x - w["pre_bias"]) @ w["encoder.weight"].T + w["latent_bias"])
    assert_computes(coder, x, latents, (latents @ w["decoder.weight"].T + w["pre_bias"]) * std + mean)
    assert coder.published_l0 == (k if activation == "TopK" else None)
    assert coder.activation.signed == (after == "Identity")


def test_a_tied_decoder_is_the_encoder(tmp_path: Path) -> None:
    made = folders.openai(tmp_path, activation=None)
    tensors = on_disk.read_tensors(made.weights)
    del tensors["decoder.weight"]
    on_disk.write_tensors(made.weights, {**tensors, "decoder.linear.weight": tensors["encoder.weight"]})
    w, x = weights(made.weights), inputs(8)
    latents = relu((x - w["pre_bias"]) @ w["encoder.weight"].T + w["latent_bias"])
    assert_computes(openai.read(made.path, Options()), x, latents, latents @ w["encoder.weight"] + w["pre_bias"])


@pytest.mark.parametrize(
    ("place", "hookpoint"),
    [
        ("mlp_post_act/autoencoders/0.pt", "blocks.0.mlp.hook_post"),
        ("resid_delta_mlp_v4/autoencoders/3.pt", "blocks.3.hook_mlp_out"),
        ("resid_delta_attn_v5_32k/autoencoders/11.pt", "blocks.11.hook_attn_out"),
        ("resid_post_attn_v5_128k/autoencoders/6.pt", "blocks.6.hook_resid_mid"),
        ("resid_post_mlp_v5_32k/autoencoders/6.pt", "blocks.6.hook_resid_post"),
        ("resid_post_mlp_v5_32k/autoencoders/six.pt", None),
        ("mine/autoencoders/6.pt", None),
    ],
)
def test_the_hookpoint_is_in_the_path(tmp_path: Path, place: str, hookpoint: str | None) -> None:
    made = folders.openai(tmp_path / "made")
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    made.weights.rename(file)
    assert openai.read(file, Options()).hookpoint == hookpoint
    assert openai.read(file.parent, Options()).hookpoint == hookpoint  # the only file of its folder


def test_a_file_may_say_its_activation_twice(tmp_path: Path) -> None:
    made = folders.openai(tmp_path)
    repeated = {"activation.k": 3, "activation.postact_fn": "ReLU"}
    on_disk.write_tensors(made.weights, {**on_disk.read_tensors(made.weights), **repeated})
    assert openai.read(made.path, Options()).published_l0 == 3


def test_files_of_the_format_before_zip_are_read(tmp_path: Path) -> None:
    made = folders.openai(tmp_path)
    before = openai.read(made.path, Options())
    torch.save(on_disk.read_tensors(made.weights), made.weights, _use_new_zipfile_serialization=False)
    assert openai.detect(made.path)
    after = openai.read(made.path, Options())
    assert np.array_equal(after.W_enc, before.W_enc)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({"activation": "Identity"}, "expected the activation ReLU or TopK in"),
        ({"activation_state_dict": {"k": 3, "postact_fn": "Tanh"}}, "expected ReLU or Identity after TopK in"),
        ({"activation_state_dict": None}, "expected ReLU or Identity after TopK in"),
        ({"activation_state_dict": {"k": 17, "postact_fn": "ReLU"}}, "expected a whole number from 1 to 16 for k in"),
        ({"activation_state_dict": {"postact_fn": "ReLU"}}, "found None"),
    ],
)
def test_an_activation_that_is_unknown_is_refused(tmp_path: Path, tensors: dict[str, Any], expected: str) -> None:
    made = folders.openai(tmp_path)
    on_disk.write_tensors(made.weights, {**on_disk.read_tensors(made.weights), **tensors})
    with pytest.raises(GlossaError) as caught:
        openai.read(made.path, Options())
    assert expected in str(caught.value)


def test_standardised_inputs_are_not_centred_again(tmp_path: Path) -> None:
    topk, relu_one = folders.openai(tmp_path / "a"), folders.openai(tmp_path / "b", activation=None)
    with pytest.raises(GlossaError, match="normalises its inputs itself"):
        openai.read(topk.path, Options(centre=True))
    assert openai.read(relu_one.path, Options(centre=True)).input_norm == "centre"
