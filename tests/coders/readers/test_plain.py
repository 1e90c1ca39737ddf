from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given

from stages.coders.readers import Options, plain
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk
from tests.coders.readers.by_hand import any_shape, assert_computes, inputs, relu, weights


@pytest.mark.parametrize(
    ("kind", "encoder", "decoder"),
    [("goodfire", "encoder_linear", "decoder_linear"), ("qresearch", "encoder", "decoder")],
)
@given(shape=any_shape)
def test_linear_layers_by_hand(kind: str, encoder: str, decoder: str, shape: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        made = folders.plain(Path(folder), kind=kind, **shape)
        coder, w = plain.read(made.path, Options()), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    latents = relu(x @ w[f"{encoder}.weight"].T + w[f"{encoder}.bias"])
    assert_computes(coder, x, latents, latents @ w[f"{decoder}.weight"].T + w[f"{decoder}.bias"])


@given(shape=any_shape)
def test_an_attention_sae_by_hand(shape: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        made = folders.plain(Path(folder), kind="attention", **shape)
        coder, w = plain.read(made.path, Options()), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    latents = relu((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
    assert_computes(coder, x, latents, latents @ w["W_dec"] + w["b_dec"])
    assert coder.hookpoint == "blocks.5.attn.hook_z"


@pytest.mark.parametrize(
    ("name", "hookpoint"),
    [
        ("Llama-3.1-8B-Instruct-SAE-l19.pth", "blocks.19.hook_resid_post"),
        ("Llama-3.3-70B-Instruct-SAE-l50.pt", "blocks.50.hook_resid_post"),
        ("sae.pt", None),
        ("model-l3b.pt", None),
    ],
)
def test_the_hookpoint_is_in_the_name(tmp_path: Path, name: str, hookpoint: str | None) -> None:
    made = folders.plain(tmp_path, kind="goodfire")
    made.path.rename(tmp_path / name)
    assert plain.read(tmp_path / name, Options()).hookpoint == hookpoint
    assert plain.read(tmp_path, Options()).hookpoint == hookpoint  # the only weights in its folder


def test_it_claims_no_file_that_another_format_does(tmp_path: Path) -> None:
    for name, make in folders.MAKERS.items():
        made = make(tmp_path / name)
        assert plain.detect(made.path) == name.startswith("plain"), name


def test_an_attention_sae_needs_its_config(tmp_path: Path) -> None:
    made = folders.plain(tmp_path, kind="attention")
    assert made.config is not None
    made.config.unlink()
    with pytest.raises(GlossaError, match=r"expected JSON in .*gpt2-small_L5_Hcat_z_cfg\.json"):
        plain.read(made.path, Options())


def test_other_files_are_told_what_is_missing(tmp_path: Path) -> None:
    made = folders.plain(tmp_path, kind="qresearch")
    on_disk.write_tensors(made.weights, {"a": on_disk.read_tensors(made.weights)["encoder.weight"]})
    with pytest.raises(GlossaError, match=r"expected only decoder.bias, decoder.weight, encoder.bias, .* found a too"):
        plain.read(made.path, Options())
