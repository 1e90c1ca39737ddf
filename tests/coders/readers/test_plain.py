from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

from stages import coders
from stages.coders.activations import Relu
from stages.coders.readers import Options, files, plain
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


@given(shape=any_shape)
def test_a_transcoder_of_gpt2_by_hand(shape: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        made = folders.plain(Path(folder), kind="transcoder", **shape)
        coder, w = plain.read(made.path, Options(centre=False)), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    latents = relu((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"])
    assert_computes(coder, x, latents, latents @ w["W_dec"] + w["b_dec_out"])


def test_where_a_transcoder_of_gpt2_reads_is_in_its_name_or_has_to_be_said(tmp_path: Path) -> None:
    made = folders.plain(tmp_path, kind="transcoder")
    coder = plain.read(made.path, Options())
    assert (coder.hookpoint, coder.reconstructs) == ("h.5.ln_2.normalized", "blocks.5.hook_mlp_out")
    assert coder.input_norm == "centre", "what it was to write had no mean"
    plainly = made.path.rename(tmp_path / "sd.pt")
    assert "say hookpoint and reconstructs" in refused(plainly, Options())
    assert "take activation, k and pre_bias out" in refused(plainly, Options(activation="topk", k=3))
    coder = plain.read(plainly, Options(reconstructs="h.2.mlp"))
    assert (coder.hookpoint, coder.reconstructs, coder.input_norm) == (None, "h.2.mlp", "none")


@pytest.mark.parametrize(
    ("name", "hookpoint"),
    [
        ("Llama-3.1-8B-Instruct-SAE-l19.pth", "blocks.19.hook_resid_post"),
        ("Llama-3.3-70B-Instruct-SAE-l50.pt", "blocks.50.hook_resid_post"),
    ],
)
def test_the_hookpoint_of_authors_known_is_in_the_name(tmp_path: Path, name: str, hookpoint: str) -> None:
    made = folders.plain(tmp_path, kind="goodfire")
    made.path.rename(tmp_path / name)
    assert plain.read(tmp_path / name, Options()).hookpoint == hookpoint
    assert plain.read(tmp_path, Options()).hookpoint == hookpoint  # the only weights in its folder


def home_grown(folder: Path, config: dict[str, Any] | None = None, bias: bool = True, **more: Any) -> Path:
    """A file that says nothing, from an author nobody knows."""
    draw = on_disk.Draw(3)
    tensors = {"encoder.weight": draw(48, 16), "encoder.bias": draw(48), "decoder.weight": draw(16, 48)}
    tensors["decoder.bias"] = draw(16) if bias else draw(16) * 0
    on_disk.write_tensors(folder / "my-sae-l3.pt", {**tensors, **more})
    if config is not None:
        on_disk.write_config(folder / "config.json", config)
    return folder / "my-sae-l3.pt"


def refused(path: Path, options: Options) -> str:
    with pytest.raises(GlossaError) as caught:
        plain.read(path, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_says_nothing_is_not_taken_for_a_relu(tmp_path: Path) -> None:
    path = home_grown(tmp_path)
    assert "nothing says what its activation function is; say activation: relu, topk (with k) or" in refused(
        path, Options()
    )
    assert "nothing says its k" in refused(path, Options(activation="topk", pre_bias=False))
    assert "say pre_bias: true or false" in refused(path, Options(activation="topk", k=6))
    assert "only topk has; correct activation or k" in refused(path, Options(activation="relu", k=6))
    assert "expected a tensor threshold" in refused(path, Options(activation="jumprelu", pre_bias=True))
    assert "for k in" in refused(path, Options(activation="topk", k=49, pre_bias=True))


@pytest.mark.parametrize("subtracts", [False, True])
@pytest.mark.parametrize("said_by", ["params", "config"])
def test_a_topk_that_is_said_to_be_one_by_hand(tmp_path: Path, said_by: str, subtracts: bool) -> None:
    config = {"architecture": "topk", "k": 6, "activation": "topk", "apply_b_dec_to_input": subtracts}
    path = home_grown(tmp_path, config if said_by == "config" else None)
    options = Options() if said_by == "config" else Options(activation="topk", k=6, pre_bias=subtracts)
    coder, w, x = plain.read(path, options), weights(path), inputs(16, 0)
    h = (x - subtracts * w["decoder.bias"]) @ w["encoder.weight"].T + w["encoder.bias"]
    latents = relu(h) * (h >= np.sort(h, axis=1)[:, -6:-5])
    assert_computes(coder, x, latents, latents @ w["decoder.weight"].T + w["decoder.bias"])
    assert (coder.identity["k"], coder.published_l0, coder.hookpoint) == (6, 6, None)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "module._orig_mod.", "sae."])
@pytest.mark.parametrize("inside", [None, "state_dict", "model_state_dict"])
def test_what_wraps_a_state_dict_is_taken_away(tmp_path: Path, prefix: str, inside: str | None) -> None:
    path = home_grown(tmp_path)
    options = Options(activation="topk", k=6, pre_bias=True)
    plainly = plain.read(path, options)
    wrapped = {f"{prefix}{name}": value for name, value in on_disk.read_tensors(path).items()}
    torch.save({inside: wrapped, "epoch": 3} if inside else wrapped, path)
    found = plain.read(path, options)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert torch.equal(getattr(plainly, name), getattr(found, name))


def test_a_config_in_the_file_itself_is_believed(tmp_path: Path) -> None:
    path = home_grown(tmp_path)
    around = {"cfg": {"activation": "topk", "k": 6}, "optimizer": {"state": {0: {"step": 3}}, "param_groups": []}}
    torch.save({"state_dict": on_disk.read_tensors(path), **around}, path)
    assert plain.read(path, Options(pre_bias=True)).published_l0 == 6
    assert "found topk in what else it holds, relu in params.yaml" in refused(
        path, Options(activation="relu", pre_bias=True)
    )
    made = folders.plain(tmp_path / "transcoder", kind="transcoder")
    torch.save({"state_dict": on_disk.read_tensors(made.weights), "cfg": {"activation_fn": "topk"}}, made.weights)
    assert "is relu, but what else it holds in" in refused(made.path, Options())


@pytest.mark.parametrize("config", [{"act_fn": "topk", "k": 3}, {"architecture": "jumprelu"}, {"k": 3}])
@pytest.mark.parametrize(
    "name", ["openai ReLU", "hub_mixin", "hub_mixin crosscoder", "circuit_tracer", "plain transcoder"]
)
def test_what_is_a_relu_by_its_layout_alone_is_none_where_a_config_says_otherwise(
    tmp_path: Path, name: str, config: dict[str, Any]
) -> None:
    made = folders.circuit_tracer(tmp_path) if name == "circuit_tracer" else folders.MAKERS[name](tmp_path)
    assert isinstance(coders.load(str(made.path), made.options).activation, Relu)
    where = made.config or made.weights.with_name("config.json")
    known = files.read_yaml(where) if where.exists() else {}
    on_disk.write_config(where, {**known, **config})
    with pytest.raises(GlossaError, match=r"whose activation function is relu, but config\.(json|yaml) beside"):
        coders.load(str(made.path), made.options)


def test_a_jumprelu_that_is_said_to_be_one_by_hand(tmp_path: Path) -> None:
    path = home_grown(tmp_path, bias=False, threshold=on_disk.Draw(5).positive(48))
    coder, w, x = plain.read(path, Options(activation="jumprelu")), weights(path), inputs(16, 0)
    h = x @ w["encoder.weight"].T + w["encoder.bias"]
    latents = relu(h) * (h > w["threshold"])
    assert_computes(coder, x, latents, latents @ w["decoder.weight"].T)
    assert "holds threshold, but is said to be relu" in refused(path, Options(activation="relu"))


@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        (
            {"architecture": "topk", "k": 6},
            Options(activation="relu", pre_bias=False),
            "found topk in config.json beside it, relu in params",
        ),
        (
            {"trainer": {"activation": "topk", "k": 6}},
            Options(activation="topk", k=7),
            "found 6 in config.json beside it, 7 in params",
        ),
        ({"activation": "gelu"}, Options(activation="relu"), "found gelu; no other can be read"),
        ({"activation": "relu", "act_fn": "topk"}, Options(), "expected one activation function"),
        ({"k": 6}, Options(pre_bias=False), "nothing says what its activation function is"),
        (
            {"activation": "relu", "normalize_activations": "layer"},
            Options(pre_bias=True),
            "says that inputs were normalised",
        ),
        ({"activation": "relu", "pre_bias": True}, Options(pre_bias=False), "expected one pre_bias"),
    ],
)
def test_a_config_beside_it_is_believed_or_the_file_refused(
    tmp_path: Path, config: dict[str, Any], options: Options, expected: str
) -> None:
    assert expected in refused(home_grown(tmp_path, config), options)


def test_authors_known_by_name_are_not_believed_against_a_config(tmp_path: Path) -> None:
    made = folders.plain(tmp_path, kind="qresearch")
    on_disk.write_config(tmp_path / "config.json", {"activation": "topk", "k": 3})
    assert "found topk in config.json beside it, relu in its name" in refused(made.path, Options())


def test_a_file_of_parameters_is_read_either_way_around(tmp_path: Path) -> None:
    draw = on_disk.Draw(1)
    w_enc, w_dec, b = draw(12, 5), draw(12, 5), draw(12)
    for name, tensors in {
        "a.pt": {"W_enc": w_enc, "W_dec": w_dec.T},
        "b.pt": {"W_enc": w_enc.T, "W_dec": w_dec},
    }.items():
        on_disk.write_tensors(tmp_path / name, {**tensors, "b_enc": b, "b_dec": draw(5) * 0})
        coder = plain.read(tmp_path / name, Options(activation="relu"))
        assert coder.W_enc is not None
        assert coder.W_dec is not None
        assert torch.equal(coder.W_enc, w_enc)
        assert torch.equal(coder.W_dec, w_dec)
    on_disk.write_tensors(
        tmp_path / "c.pt", {"W_enc": draw(5, 5), "W_dec": draw(5, 5), "b_enc": draw(5), "b_dec": draw(5)}
    )
    assert "is square" in refused(tmp_path / "c.pt", Options(activation="relu", pre_bias=False))


def test_it_claims_no_file_that_another_format_does(tmp_path: Path) -> None:
    for name, make in folders.MAKERS.items():
        made = make(tmp_path / name)
        assert plain.detect(made.path) == name.startswith("plain"), name


def test_an_attention_sae_needs_its_config(tmp_path: Path) -> None:
    made = folders.plain(tmp_path, kind="attention")
    assert made.config is not None
    made.config.unlink()
    with pytest.raises(GlossaError, match=r"expected gpt2-small_L5_Hcat_z_cfg\.json in .*, found none"):
        plain.read(made.path, Options())


def test_other_files_are_told_what_is_missing(tmp_path: Path) -> None:
    made = folders.plain(tmp_path, kind="qresearch")
    on_disk.write_tensors(made.weights, {"a": on_disk.read_tensors(made.weights)["encoder.weight"]})
    with pytest.raises(GlossaError, match=r"expected only decoder.bias, decoder.weight, encoder.bias, .* found a too"):
        plain.read(made.path, Options())


class Config:
    """An object of somebody's code."""


def test_a_transcoder_with_its_config_pickled_inside_says_how_to_save_it(tmp_path: Path) -> None:
    made = folders.plain(tmp_path, kind="transcoder")
    tensors = on_disk.read_tensors(made.weights)
    torch.save({"cfg": Config(), "state_dict": tensors}, made.weights)
    with pytest.raises(
        GlossaError, match=r"never run: .* save torch.load\(...\)\['state_dict'\] in a file of the same name"
    ):
        plain.read(made.path, Options())
    torch.save(tensors, made.weights)
    assert plain.read(made.path, Options()).reconstructs == "blocks.5.hook_mlp_out"
