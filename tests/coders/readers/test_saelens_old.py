from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.coders.activations import Gated, Relu, TopK
from stages.coders.readers import Options, saelens, saelens_old
from stages.errors import GlossaError
from tests.coders.readers.dense import encoded, reconstructed
from tests.coders.readers.saelens_folders import by_hand, tensors_of, write

CONFIGS = Path(__file__).parent / "configs"
NONE = Options()
OLD = ["gpt2_small_res_jb", "gpt2_small_mlp_tm", "gpt2_small_oai_v5_resid_mid", "gemma_2b_res_jb"]
OLD += ["llama_3_8b_it_res_jh", "mistral_7b_res_wg", "pythia_70m_att_sm"]


def archived(name: str, **changes: Any) -> dict[str, Any]:
    """A cfg.json with the keys of a published one; a change to None takes a key out."""
    config = {**json.loads((CONFIGS / f"{name}.json").read_text()), **changes}
    return {key: value for key, value in config.items() if value is not None}


def tiny(name: str, **changes: Any) -> dict[str, Any]:
    """The same for a coder of 16 latents on 8 inputs."""
    return archived(name, **{"d_in": 8, "d_sae": 16, **changes})


def modern(**changes: Any) -> dict[str, Any]:
    """What ``by_hand`` has to know about it, said by the test."""
    return {"d_in": 8, "d_sae": 16, "architecture": "standard", "normalize_activations": "none", **changes}


@pytest.mark.parametrize(
    ("config", "options", "meaning"),
    [
        (tiny("gpt2_small_res_jb"), Options(centre=False), {}),
        (tiny("gpt2_small_res_jb"), Options(centre=True), {}),
        (
            tiny("gpt2_small_mlp_tm"),
            Options(norm_factor=1.05, centre=False),
            {"apply_b_dec_to_input": False, "normalize_activations": "expected_average_only_in"},
        ),
        (
            tiny("gpt2_small_mlp_tm"),
            Options(norm_factor=0.4, centre=True),
            {"apply_b_dec_to_input": False, "normalize_activations": "expected_average_only_in"},
        ),
        (
            tiny("gpt2_small_oai_v5_resid_mid", activation_fn_kwargs={"k": 3}),
            NONE,
            {"architecture": "topk", "k": 3, "normalize_activations": "layer_norm"},
        ),
        (
            tiny("gemma_2b_res_jb"),
            Options(norm_factor=0.2138),
            {"apply_b_dec_to_input": False, "normalize_activations": "expected_average_only_in"},
        ),
        (tiny("llama_3_8b_it_res_jh"), NONE, {"architecture": "gated"}),
        (tiny("mistral_7b_res_wg"), NONE, {"apply_b_dec_to_input": False}),
        (
            tiny("mistral_7b_res_wg"),
            Options(normalise="constant_norm"),
            {"apply_b_dec_to_input": False, "normalize_activations": "constant_norm_rescale"},
        ),
        (tiny("pythia_70m_att_sm"), NONE, {}),
        (
            tiny("pythia_70m_att_sm", normalize_activations="constant_norm_rescale"),
            NONE,
            {"normalize_activations": "constant_norm_rescale"},
        ),
        (tiny("pythia_70m_att_sm", activation_fn_str=None), NONE, {}),
        (
            tiny("pythia_70m_att_sm", activation_fn_str=None, activation_fn="topk", activation_fn_kwargs={"k": 1}),
            NONE,
            {"architecture": "topk", "k": 1},
        ),
        (tiny("pythia_70m_att_sm", architecture="jumprelu"), NONE, {"architecture": "jumprelu"}),
        (
            tiny("pythia_70m_att_sm", architecture="transcoder", apply_b_dec_to_input=None, d_out=5),
            NONE,
            {"architecture": "transcoder", "d_out": 5},
        ),
    ],
)
def test_encoding_by_hand(tmp_path: Path, config: dict[str, Any], options: Options, meaning: dict[str, Any]) -> None:
    meant = modern(**meaning)
    tensors = tensors_of(meant)
    coder = saelens_old.read(write(tmp_path, config, tensors), options)
    x = np.random.default_rng(1).normal(size=(40, 8)) * 2 + 0.5
    latents, outputs = by_hand(meant, tensors, x, options.norm_factor or 1, bool(options.centre))
    assert 0 < (latents > 0).sum() < latents.size
    assert np.allclose(encoded(coder, x), latents, atol=1e-4)
    assert np.allclose(reconstructed(coder, x), outputs, atol=1e-4)
    assert coder.identity["format"] == "saelens_old"


@pytest.mark.parametrize("name", OLD)
def test_old_configs_are_told_from_new_ones(tmp_path: Path, name: str) -> None:
    write(tmp_path, archived(name), {})
    assert saelens_old.detect(tmp_path)
    assert not saelens.detect(tmp_path)


@pytest.mark.parametrize(
    ("name", "options", "activation", "norm", "subtracts", "hookpoint"),
    [
        ("gpt2_small_res_jb", Options(centre=True), Relu, "centre", True, "blocks.8.hook_resid_pre"),
        ("gpt2_small_mlp_tm", Options(norm_factor=1.0, centre=True), Relu, "centre", False, "blocks.0.hook_mlp_out"),
        ("gpt2_small_oai_v5_resid_mid", NONE, TopK, "layer_norm", True, "blocks.0.hook_resid_mid"),
        ("gemma_2b_res_jb", Options(0.2), Relu, "none", False, "blocks.12.hook_resid_post"),
        ("llama_3_8b_it_res_jh", NONE, Gated, "none", True, "blocks.25.hook_resid_post"),
        ("pythia_70m_att_sm", NONE, Relu, "none", True, "blocks.0.hook_attn_out"),
    ],
)
def test_what_published_configs_mean(
    tmp_path: Path, name: str, options: Options, activation: type, norm: str, subtracts: bool, hookpoint: str
) -> None:
    config = tiny(name)
    if "activation_fn_kwargs" in config:
        config["activation_fn_kwargs"] = dict.fromkeys(config["activation_fn_kwargs"], 4)
    kind = {TopK: "topk", Gated: "gated"}.get(activation, "standard")
    coder = saelens_old.read(write(tmp_path, config, tensors_of({**config, "architecture": kind})), options)
    assert isinstance(coder.activation, activation)
    assert (coder.input_norm, coder.hookpoint) == (norm, hookpoint)
    assert bool(coder.b_pre.any()) is subtracts
    assert coder.prepend_bos is {"gpt2_small_oai_v5_resid_mid": False, "gpt2_small_res_jb": None}.get(name, True)


def test_the_mistral_coders_take_inputs_of_a_constant_norm_though_they_do_not_say_so(tmp_path: Path) -> None:
    theirs, mine = tmp_path / "models--JoshEngels--Mistral-7B-Residual-Stream-SAEs" / "layer_16", tmp_path / "mine"

    def norm_of(folder: Path, options: Options = NONE, **changes: Any) -> str:
        config = {**archived("mistral_7b_res_wg", **changes), "d_in": 1}  # so that its 65,536 latents are few bytes
        return saelens_old.read(
            write(folder, config, tensors_of({**config, "architecture": "standard"})), options
        ).input_norm

    assert norm_of(theirs) == norm_of(theirs, normalize_activations="none") == "constant_norm"
    assert norm_of(theirs, hook_name="blocks.9.hook_resid_pre") == "none"
    assert norm_of(mine, hook_name="blocks.9.hook_resid_pre") == norm_of(mine, d_sae=100) == "none"
    assert norm_of(mine, sae_lens_training_version="3.14.0") == "none"
    assert norm_of(mine, normalize_activations="layer_norm") == "layer_norm"
    with pytest.raises(
        GlossaError, match="normalise: constant_norm if it is one of these, or normalise: none if it is not"
    ):
        norm_of(mine)
    assert norm_of(mine, Options(normalise="constant_norm")) == "constant_norm"
    assert norm_of(mine, Options(normalise="none")) == "none"


def mistake(folder: Path, options: Options = NONE) -> str:
    with pytest.raises(GlossaError) as caught:
        saelens_old.read(folder, options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


PYTHIA = {"neuronpedia_id": None, "sae_lens_training_version": "3.5.0"}


@pytest.mark.parametrize(
    "config",
    [
        archived("gpt2_small_res_jb"),
        archived("gpt2_small_res_jb", hook_point="blocks.11.hook_resid_post"),
        archived("gpt2_small_res_jb", hook_point="blocks.8.hook_resid_mid"),
        archived("gpt2_small_res_jb", d_sae=16384),
        archived("gpt2_small_res_jb", model_name="gpt2-medium"),
        archived("gpt2_small_res_jb", model_from_pretrained_kwargs={}),
        archived("gpt2_small_mlp_tm", normalize_activations=False),
        tiny("gpt2_small_res_jb", neuronpedia_id="gpt2-small/8-res-jb"),
        tiny("gpt2_small_res_jb", neuronpedia_id="gpt2-small/8-res_fs49152-jb"),
        tiny("pythia_70m_att_sm", neuronpedia_id="gpt2-small/6-res_scefr-ajt"),
        tiny("pythia_70m_att_sm", neuronpedia_id="gpt2-small/10-res_sll-ajt"),
        tiny("pythia_70m_att_sm", model_from_pretrained_kwargs={"center_writing_weights": True}),
        tiny("pythia_70m_att_sm", **PYTHIA),
        tiny("pythia_70m_att_sm", **PYTHIA, hook_name="blocks.3.hook_resid_pre"),
        tiny("pythia_70m_att_sm", **{**PYTHIA, "sae_lens_training_version": "3.19.1"}),
        tiny("pythia_70m_att_sm", **{**PYTHIA, "sae_lens_training_version": "2.1"}),
        tiny("pythia_70m_att_sm", **PYTHIA, model_name="EleutherAI/gpt-neo-125M"),
    ],
)
def test_a_coder_of_a_centred_stream_needs_centring(tmp_path: Path, config: dict[str, Any]) -> None:
    folder = write(tmp_path, config, tensors_of(tiny("pythia_70m_att_sm")))
    said = mistake(folder)
    assert "was trained on a mean-centred residual stream" in said
    assert "add centre: true to it in params.yaml" in said
    if config["d_sae"] == 16:
        assert saelens_old.read(folder, Options(centre=True)).input_norm == "centre"
        assert saelens_old.read(folder, Options(centre=False)).input_norm == "none"


def test_a_coder_of_a_version_that_nobody_knows_has_to_be_said(tmp_path: Path) -> None:
    config = tiny("pythia_70m_att_sm", neuronpedia_id=None)
    folder = write(tmp_path, config, tensors_of({**config, "architecture": "standard"}))
    assert "don't say which SAELens trained it (sae_lens_training_version)" in mistake(folder)
    assert saelens_old.read(folder, Options(centre=True)).input_norm == "centre"


@pytest.mark.parametrize(
    "config",
    [
        archived("gpt2_small_res_jb", model_from_pretrained_kwargs={"center_writing_weights": False}),
        archived("gpt2_small_oai_v5_resid_mid", neuronpedia_id=None),  # its own normalisation takes the mean away
        tiny("pythia_70m_att_sm"),  # trained by Marks and others, outside of SAELens
        tiny("pythia_70m_att_sm", **{**PYTHIA, "sae_lens_training_version": "3.19.2"}),
        tiny("pythia_70m_att_sm", **{**PYTHIA, "sae_lens_training_version": "4.0.0"}),
        tiny("pythia_70m_att_sm", **PYTHIA, model_name="gemma-2b"),
        tiny("pythia_70m_att_sm", **PYTHIA, hook_name="blocks.3.mlp.hook_post"),
    ],
)
def test_other_coders_need_none(tmp_path: Path, config: dict[str, Any]) -> None:
    assert "W_enc" in mistake(write(tmp_path, config, {}))  # it came as far as the weights, of which there are none


@pytest.mark.parametrize(
    ("changes", "folded"),
    [
        (PYTHIA, True),
        ({**PYTHIA, "sae_lens_training_version": "3.19.2"}, False),
        ({**PYTHIA, "model_from_pretrained_kwargs": {"fold_value_biases": False}}, False),
        ({**PYTHIA, "hook_name": "blocks.3.mlp.hook_post"}, False),
    ],
)
def test_heads_were_read_without_their_value_biases(tmp_path: Path, changes: dict[str, Any], folded: bool) -> None:
    config = tiny("pythia_70m_att_sm", **{"hook_name": "blocks.3.attn.hook_z", **changes})
    coder = saelens_old.read(write(tmp_path, config, tensors_of({**config, "architecture": "standard"})), NONE)
    assert (coder.values_folded, coder.identity.get("values_folded", False)) == (folded, folded)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (tiny("gemma_2b_res_jb"), "SAELens lists it as norm_scaling_factor"),
        (tiny("gemma_2b_res_jb", normalize_activations=True), "give it as norm_factor in params.yaml"),
        (tiny("gpt2_small_res_jb", hook_point_head_index=3), "is of one attention head (hook_head_index: 3)"),
        (tiny("pythia_70m_att_sm", activation_fn_str="tanh-relu"), "found tanh-relu of standard"),
        (tiny("pythia_70m_att_sm", activation_fn_str="topk", architecture="gated"), "found topk of gated"),
        (tiny("gpt2_small_oai_v5_resid_mid", activation_fn_kwargs=None), "for k in"),
        (tiny("gpt2_small_oai_v5_resid_mid", activation_fn_kwargs={"k": 0}), "found 0"),
        (tiny("gpt2_small_oai_v5_resid_mid", activation_fn_kwargs=[]), "for k in"),
        (tiny("pythia_70m_att_sm", architecture="lstm"), "found lstm; no other can be read"),
        (tiny("pythia_70m_att_sm", normalize_activations=2), "expected normalize_activations to be one of"),
        (tiny("pythia_70m_att_sm", d_sae=None), "expected a whole number above 0 for d_sae"),
    ],
)
def test_a_config_that_does_not_fit_is_a_mistake(tmp_path: Path, config: dict[str, Any], expected: str) -> None:
    assert expected in mistake(write(tmp_path, config, tensors_of(tiny("pythia_70m_att_sm"))))


@pytest.mark.parametrize("content", [b"", b"\x00" * 40])
def test_damaged_weights_are_a_mistake(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, tiny("pythia_70m_att_sm"), {})
    (tmp_path / "sae_weights.safetensors").write_bytes(content)
    assert "expected safetensors in" in mistake(tmp_path)
