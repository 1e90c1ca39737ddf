from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.coders.readers import Options, sparsify
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk
from tests.coders.readers.by_hand import any_shape, assert_computes, inputs, relu, top, weights

CONFIGS = Path(__file__).parent / "configs"


@given(any_shape, st.integers(1, 4), st.booleans(), st.booleans(), st.booleans())
def test_encoding_and_decoding_by_hand(
    shape: dict[str, Any], k: int, groupmax: bool, transcode: bool, skip: bool
) -> None:
    k = 4 if groupmax and k == 3 else k  # 3 divides no number of latents here
    with TemporaryDirectory() as folder:
        flags = {"transcode": transcode, "skip_connection": skip, "activation": "groupmax" if groupmax else "topk"}
        made = folders.sparsify(Path(folder), **shape, k=k, **flags)
        coder, w = sparsify.read(made.path, Options()), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    h = relu((x if transcode else x - w["b_dec"]) @ w["encoder.weight"].T + w["encoder.bias"])
    if groupmax:
        groups = h.reshape(len(x), k, -1)
        latents = (groups * (groups == groups.max(axis=2, keepdims=True))).reshape(h.shape)
    else:
        latents = top(h, k)
    assert_computes(coder, x, latents, latents @ w["W_dec"] + w["b_dec"] + (x @ w["W_skip"].T if skip else 0))
    assert (coder.published_l0, coder.identity["k"]) == (k, k)


@pytest.mark.parametrize(
    ("config", "n"),
    [
        ({"num_latents": 0, "expansion_factor": 2}, 16),
        ({"num_latents": None, "expansion_factor": 3}, 24),
        ({"num_latents": 0, "expansion_factor": None}, 32 * 8),
        ({"num_latents": 40, "expansion_factor": 2}, 40),
    ],
)
def test_without_a_number_of_latents_the_expansion_factor_counts(
    tmp_path: Path, config: dict[str, Any], n: int
) -> None:
    made = folders.sparsify(tmp_path, n=n)
    assert made.config is not None
    on_disk.edit(made.config, **{"num_latents": None, "expansion_factor": None, **config})
    assert sparsify.read(tmp_path, Options()).n_latents == n


@pytest.mark.parametrize(
    ("name", "subtracts", "hookpoint"),
    [
        # The configs of published coders, as their training left them.
        ("sparsify_2024_06", True, "layers.5.mlp"),  # has signed, has neither num_latents nor skip_connection
        ("sparsify_2024_08_multi_topk", True, "layers.5.mlp"),
        ("sparsify_2024_12_skip", True, "layers.5.mlp.input"),  # a transcoder before there was the key
        ("sparsify_2025_transcoder", False, "layers.5.mlp.input"),
        ("sparsify_2025_groupmax", True, "layers.5.mlp"),
    ],
)
def test_configs_of_every_age(tmp_path: Path, name: str, subtracts: bool, hookpoint: str) -> None:
    config = json.loads((CONFIGS / f"{name}.json").read_text())
    folder = tmp_path / "layers.5.mlp"
    n = config.get("num_latents") or config["d_in"] * config["expansion_factor"]
    folders.sparsify(folder, d=config["d_in"], n=n, skip_connection=config.get("skip_connection", False))
    shutil.copy(CONFIGS / f"{name}.json", folder / "cfg.json")
    coder = sparsify.read(folder, Options())
    assert torch.equal(coder.b_pre, coder.b_dec) == subtracts
    assert coder.b_pre.any() == subtracts
    assert coder.hookpoint == hookpoint


@pytest.mark.parametrize(
    ("place", "flags", "hookpoint"),
    [
        ("layers.10", {}, "layers.10"),
        ("h.0.attn", {}, "h.0.attn"),
        ("embed_tokens", {}, "embed_tokens"),
        ("layers.5.mlp/seed1", {}, "layers.5.mlp"),
        ("layers.5.mlp/seed1", {"transcode": True}, "layers.5.mlp.input"),
        ("layers.5.mlp", {"skip_connection": True}, "layers.5.mlp.input"),
        ("layers.5.mlp", {"skip_connection": True, "transcode": False}, "layers.5.mlp"),
        ("my_coder", {"transcode": True}, None),
        ("layers", {}, None),
        ("run.2", {}, None),
    ],
)
def test_the_hookpoint_is_the_name_of_the_folder(
    tmp_path: Path, place: str, flags: dict[str, bool], hookpoint: str | None
) -> None:
    folder = tmp_path / place
    folders.sparsify(folder, **flags)
    assert sparsify.read(folder, Options()).hookpoint == hookpoint


def test_a_run_says_that_its_coders_without_the_key_are_transcoders(tmp_path: Path) -> None:
    folders.sparsify(tmp_path / "layers.5.mlp")
    (tmp_path / "config.json").write_text('{"sae": {"k": 32}, "transcode": true}')
    coder = sparsify.read(tmp_path / "layers.5.mlp", Options())
    assert coder.hookpoint == "layers.5.mlp.input"
    assert torch.equal(coder.b_pre, coder.b_dec)


def test_the_identity_is_of_the_content_not_the_place(tmp_path: Path) -> None:
    made = [folders.sparsify(tmp_path / name) for name in ("layers.5", "other")]
    same = sparsify.read(made[0].path, Options()).identity
    assert same == sparsify.read(made[1].path, Options()).identity
    assert made[1].config is not None
    seen = {same["sha256"], sparsify.read(made[1].path, Options(centre=True)).identity["sha256"]}
    for change in ({"k": 2}, {"transcode": True}, {"activation": "groupmax"}):
        on_disk.edit(made[1].config, **change)
        seen.add(sparsify.read(made[1].path, Options()).identity["sha256"])
    on_disk.write_tensors(made[1].weights, {**on_disk.read_tensors(made[1].weights), "b_dec": torch.zeros(8)})
    seen.add(sparsify.read(made[1].path, Options()).identity["sha256"])
    assert len(seen) == 6


def test_a_centred_subject_is_centred_first(tmp_path: Path) -> None:
    made = folders.sparsify(tmp_path)
    x = inputs(8)
    centred, plain = (sparsify.read(made.path, Options(centre=centre)) for centre in (True, False))
    assert centred.input_norm == "centre"
    values = [
        coder.encode(torch.tensor(y, dtype=torch.float32)).values
        for coder, y in ((centred, x), (plain, x - x.mean(1, keepdims=True)))
    ]
    assert np.allclose(*values, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"k": 17}, "expected a whole number from 1 to 16 for k in"),
        ({"k": "4"}, "found 4; fetch the coder again"),
        ({"num_latents": 12}, "expected encoder.weight of shape [12, 8] in"),
        ({"transcode": "yes"}, "expected true or false for transcode in"),
        ({"signed": True}, "has signed: true, which keeps the largest absolute values"),
        ({"activation": "groupmax", "k": 3}, "expected groupmax with a k that divides the 16 latents"),
        ({"activation": "relu"}, "expected the activation topk or groupmax in"),
        ({"skip_connection": True}, "expected a tensor W_skip in"),
    ],
)
def test_a_config_that_does_not_fit_is_a_mistake(tmp_path: Path, config: dict[str, Any], expected: str) -> None:
    made = folders.sparsify(tmp_path)
    assert made.config is not None
    on_disk.edit(made.config, **config)
    with pytest.raises(GlossaError) as caught:
        sparsify.read(tmp_path, Options())
    assert expected in str(caught.value)


def test_a_factor_is_refused(tmp_path: Path) -> None:
    folders.sparsify(tmp_path)
    with pytest.raises(GlossaError, match="take norm_factor out"):
        sparsify.read(tmp_path, Options(norm_factor=2.0))
