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

from stages.coders.readers import Options, saelens, saelens_old
from stages.errors import GlossaError
from tests.coders.readers.dense import encoded, reconstructed
from tests.coders.readers.saelens_folders import ARCHITECTURES, CHECKPOINTS, by_hand, config_of, tensors_of, write

NONE = Options()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coder")


def compare(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor], options: Options = NONE) -> None:
    coder = saelens.read(write(folder, config, tensors), options)
    x = np.random.default_rng(1).normal(size=(40, config["d_in"])) * 2 + 0.5
    latents, outputs = by_hand(config, tensors, x, options.norm_factor or 1, bool(options.centre))
    assert 0 < (latents > 0).sum() < latents.size
    assert np.allclose(encoded(coder, x), latents, atol=2e-4)
    assert np.allclose(reconstructed(coder, x), outputs, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@given(
    seed=st.integers(0, 2**32 - 1),
    widths=st.tuples(*[st.integers(2, 24)] * 3),
    dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16"]),
)
def test_every_architecture_by_hand(
    place: Path, architecture: str, seed: int, widths: tuple[int, int, int], dtype: str
) -> None:
    d_in, d_sae, d_out = widths
    shape = {"d_out": d_out} if "transcoder" in architecture else {}
    config = config_of(architecture, d_in=d_in, d_sae=d_sae + 3, dtype=dtype, **shape)
    compare(place, config, tensors_of(config, seed, getattr(torch, dtype)))


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
@given(
    norm=st.sampled_from(["none", "layer_norm", "constant_norm_rescale", "expected_average_only_in"]),
    subtract=st.booleans(),
    rescale=st.booleans(),
    k=st.integers(1, 16),
    factor=st.floats(0.1, 5),
    centre=st.booleans(),
)
def test_every_flag_by_hand(
    place: Path, architecture: str, norm: str, subtract: bool, rescale: bool, k: int, factor: float, centre: bool
) -> None:
    more = {"k": k, "rescale_acts_by_decoder_norm": rescale} if architecture == "topk" else {}
    config = config_of(architecture, normalize_activations=norm, apply_b_dec_to_input=subtract, **more)
    scaled = norm == "expected_average_only_in"
    options = Options(factor if scaled else None, centre and norm in ("none", "expected_average_only_in"))
    compare(place, config, tensors_of(config), options)


def test_a_latent_without_a_decoder_direction_is_never_active_when_rescaled(tmp_path: Path) -> None:
    config = config_of("topk", k=16, rescale_acts_by_decoder_norm=True)
    tensors = tensors_of(config)
    tensors["W_dec"][3] = 0
    coder = saelens.read(write(tmp_path, config, tensors), NONE)
    x = np.random.default_rng(0).normal(size=(50, 8))
    assert not encoded(coder, x)[:, 3].any()
    assert np.isfinite(reconstructed(coder, x)).all()


def test_a_threshold_has_to_be_exceeded(tmp_path: Path) -> None:
    config = config_of("jumprelu", d_in=1, d_sae=2)
    tensors = {
        "W_enc": torch.tensor([[1.0, 1.0]]),
        "b_enc": torch.zeros(2),
        "threshold": torch.tensor([0.5, 0.25]),
        "W_dec": torch.ones(2, 1),
        "b_dec": torch.zeros(1),
    }
    coder = saelens.read(write(tmp_path, config, tensors), NONE)
    assert encoded(coder, np.array([[0.5]])).tolist() == [[0.0, 0.5]]


def test_what_the_files_say_about_a_coder(tmp_path: Path) -> None:
    config = config_of("topk")
    coder = saelens.read(write(tmp_path, config, tensors_of(config)), NONE)
    assert (coder.hookpoint, coder.published_l0, coder.source) == ("blocks.5.hook_resid_post", 4.0, str(tmp_path))
    config["metadata"]["hf_hook_name"] = "model.layers.5.output"
    assert saelens.read(write(tmp_path, config, tensors_of(config)), NONE).hookpoint == "model.layers.5.output"
    del config["metadata"]["hf_hook_name"], config["metadata"]["hook_name"]
    assert saelens.read(write(tmp_path, config, tensors_of(config)), NONE).hookpoint is None
    standard = config_of("standard")
    assert saelens.read(write(tmp_path, standard, tensors_of(standard)), NONE).published_l0 is None
    assert coder.prepend_bos is True
    for said, expected in ((False, False), (None, None), ("yes", None)):
        config["metadata"]["prepend_bos"] = said
        assert saelens.read(write(tmp_path, config, tensors_of(config)), NONE).prepend_bos is expected


def test_heads_are_merged_before_and_other_files_decide_nothing(tmp_path: Path) -> None:
    config = config_of("standard", reshape_activations="hook_z")
    config["metadata"]["hook_name"] = "blocks.5.attn.hook_z"
    write(tmp_path, config, tensors_of(config))
    save_file({"sparsity": torch.zeros(16)}, tmp_path / "sparsity.safetensors")
    (tmp_path / "runner_cfg.json").write_text("{}")
    coder = saelens.read(tmp_path, NONE)
    assert (coder.hookpoint, coder.d_in) == ("blocks.5.attn.hook_z", 8)


def test_the_identity_is_of_what_decides_the_activations(tmp_path: Path) -> None:
    def sha(config: dict[str, Any], options: Options = NONE, seed: int = 0, name: str = "coder") -> str:
        return str(saelens.read(write(tmp_path / name, config, tensors_of(config, seed)), options).identity["sha256"])

    first = sha(config_of("topk"))
    assert sha(config_of("topk", device="cuda", metadata={"sae_lens_version": "6.0.0"}), name="elsewhere") == first
    others = [
        sha(config_of("topk"), seed=1),
        sha(config_of("topk", k=5)),
        sha(config_of("topk", rescale_acts_by_decoder_norm=True)),
        sha(config_of("topk", apply_b_dec_to_input=False)),
        sha(config_of("topk", normalize_activations="layer_norm")),
        sha(config_of("topk"), Options(centre=True)),
        sha(config_of("topk", normalize_activations="expected_average_only_in"), Options(norm_factor=1.0)),
        sha(config_of("topk", normalize_activations="expected_average_only_in"), Options(norm_factor=2.0)),
    ]
    assert len({first, *others}) == 9


@pytest.mark.parametrize(
    ("version", "nested", "expected"),
    [
        ("6.12.1", None, 6),
        (None, "6.0.0-rc.1", 6),
        (None, "10.2.0", 10),
        ("5.11.0", None, 5),
        (None, "5.11.0", 5),
        (None, None, 0),
        ("", "", 0),
        ("unknown", None, 0),
    ],
)
def test_the_version_tells_the_two_formats_apart(
    tmp_path: Path, version: str | None, nested: str | None, expected: int
) -> None:
    config = config_of("standard", sae_lens_version=version, metadata={"sae_lens_version": nested})
    write(tmp_path, config, tensors_of(config))
    assert saelens.major_version(tmp_path) == expected
    assert (saelens.detect(tmp_path), saelens_old.detect(tmp_path)) == (expected >= 6, expected < 6)


@pytest.mark.parametrize("missing", ["cfg.json", "sae_weights.safetensors"])
def test_a_folder_without_both_files_is_of_another_format(tmp_path: Path, missing: str) -> None:
    write(tmp_path, config_of("standard"), tensors_of(config_of("standard")))
    (tmp_path / missing).unlink()
    assert not saelens.detect(tmp_path)
    assert not saelens_old.detect(tmp_path)


def mistake(folder: Path, options: Options = NONE) -> str:
    with pytest.raises(GlossaError) as caught:
        saelens.read(folder, options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


METADATA = config_of("standard")["metadata"]
CENTRED = {**METADATA, "model_from_pretrained_kwargs": {"center_writing_weights": True}}


@pytest.mark.parametrize(
    ("architecture", "changes", "expected"),
    [
        ("topk", {"k": 0}, "expected a whole number from 1 to 16 for k in"),
        ("topk", {"k": 17}, "found 17"),
        ("topk", {"k": True}, "found True"),
        ("topk", {"k": None}, "for k in"),
        ("topk", {"rescale_acts_by_decoder_norm": "yes"}, "expected true or false for rescale_acts_by_decoder_norm"),
        ("standard", {"d_in": None}, "expected a whole number above 0 for d_in"),
        ("standard", {"d_sae": "16"}, "expected a whole number above 0 for d_sae"),
        ("transcoder", {"d_out": None}, "expected a whole number above 0 for d_out"),
        ("standard", {"d_in": 9}, "expected W_enc of shape [9, 16] in"),
        ("standard", {"d_sae": 15}, "expected W_enc of shape [8, 15] in"),
        ("transcoder", {"d_out": 8}, "expected W_dec of shape [16, 8] in"),
        ("standard", {"architecture": "jumprelu"}, "expected a tensor threshold in"),
        ("jumprelu", {"architecture": "standard"}, "found threshold too"),
        ("standard", {"architecture": None}, "found nothing; no other can be read"),
        ("standard", {"architecture": "crosscoder"}, "found crosscoder; no other can be read"),
        ("standard", {"architecture": ["standard"]}, "expected architecture to be one of standard, "),
        ("standard", {"architecture": "batchtopk"}, "expected a tensor topk_threshold"),
        ("standard", {"architecture": "temporal"}, "depend on the tokens before it"),
        ("standard", {"architecture": "matching_pursuit"}, "finds its latents one after the other"),
        ("standard", {"architecture": "abstopk"}, "whatever their sign"),
        ("standard", {"metadata": "none"}, "expected an object for metadata in"),
        ("standard", {"metadata": {**METADATA, "hook_head_index": 3}}, "is of one attention head (hook_head_index: 3)"),
        ("transcoder", {"metadata": {"hook_head_index_out": 0}}, "is of one attention head (hook_head_index_out: 0)"),
        ("standard", {"reshape_activations": "hook_q"}, "expected reshape_activations to be one of none, hook_z in"),
        ("transcoder", {"apply_b_dec_to_input": True}, "the b_dec of a transcoder belongs to its output"),
        ("standard", {"apply_b_dec_to_input": 1}, "expected true or false for apply_b_dec_to_input"),
        (
            "standard",
            {"normalize_activations": "constant_scalar_rescale"},
            "expected normalize_activations to be one of",
        ),
        ("standard", {"normalize_activations": "covariance_whitening"}, "its files don't hold the whitening"),
        ("transcoder", {"normalize_activations": "layer_norm"}, "leaves open on what scale its output is"),
        ("standard", {"normalize_activations": "expected_average_only_in"}, "give it as norm_factor in params.yaml"),
        ("standard", {"metadata": CENTRED}, "add centre: true to it in params.yaml"),
    ],
)
def test_a_config_that_does_not_fit_is_a_mistake(
    tmp_path: Path, architecture: str, changes: dict[str, Any], expected: str
) -> None:
    tensors = tensors_of(config_of(architecture))
    assert expected in mistake(write(tmp_path, config_of(architecture, **changes), tensors))


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ({}, Options(norm_factor=2.0), "take norm_factor out of params.yaml"),
        ({"normalize_activations": "layer_norm"}, Options(norm_factor=2.0), "take norm_factor out of params.yaml"),
        ({"normalize_activations": "layer_norm"}, Options(centre=True), "take centre out of params.yaml"),
        ({"normalize_activations": "constant_norm_rescale"}, Options(centre=True), "take centre out of params.yaml"),
    ],
)
def test_options_that_do_not_fit_are_a_mistake(
    tmp_path: Path, changes: dict[str, Any], options: Options, expected: str
) -> None:
    config = config_of("standard", **changes)
    assert expected in mistake(write(tmp_path, config, tensors_of(config)), options)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_factor_is_above_0(factor: float) -> None:
    with pytest.raises(GlossaError, match="expected a number above 0 for a coder's norm_factor, found"):
        Options(norm_factor=factor)


@pytest.mark.parametrize(
    ("architecture", "changes", "expected"),
    [
        ("standard", {"b_enc": None}, "expected a tensor b_enc in"),
        ("gated", {"r_mag": None}, "expected a tensor r_mag in"),
        ("skip_transcoder", {"W_skip": None}, "expected a tensor W_skip in"),
        ("jumprelu", {"log_threshold": torch.zeros(16)}, "found log_threshold too"),
        ("standard", {"W_dec": torch.ones(8, 16)}, "expected W_dec of shape [16, 8] in"),
        ("standard", {"b_dec": torch.ones(16)}, "expected b_dec of shape [8] in"),
        ("skip_transcoder", {"W_skip": torch.ones(8, 6)}, "expected W_skip of shape [6, 8] in"),
        ("standard", {"b_enc": torch.full((16,), torch.nan)}, "b_enc holds NaN or infinity"),
        ("standard", {"W_enc": torch.full((8, 16), torch.inf)}, "W_enc holds NaN or infinity"),
        ("standard", {"W_enc": torch.ones(8, 16, dtype=torch.int8)}, "expected floating-point numbers for W_enc in"),
        ("standard", {"scaling_factor": torch.full((16,), 1.5)}, "has a scaling_factor other than 1"),
        ("standard", {"finetuning_scaling_factor": torch.zeros(16)}, "has a finetuning_scaling_factor other than 1"),
    ],
)
def test_weights_that_do_not_fit_are_a_mistake(
    tmp_path: Path, architecture: str, changes: dict[str, torch.Tensor | None], expected: str
) -> None:
    tensors: dict[str, Any] = {**tensors_of(config_of(architecture)), **changes}
    folder = write(tmp_path, config_of(architecture), {n: value for n, value in tensors.items() if value is not None})
    assert expected in mistake(folder)


def test_a_stray_scale_of_1_is_left_out(tmp_path: Path) -> None:
    config = config_of("standard")
    tensors = tensors_of(config)
    compare(tmp_path / "plain", config, tensors)
    compare(tmp_path / "with", config, {**tensors, "scaling_factor": torch.ones(16)})


def test_damaged_files_are_a_mistake(tmp_path: Path) -> None:
    config = config_of("standard")
    whole = write(tmp_path, config, tensors_of(config)) / "sae_weights.safetensors"
    content = whole.read_bytes()
    for keep in (0, 4, 300):
        whole.write_bytes(content[:keep])
        assert mistake(tmp_path).startswith(f"expected safetensors in {whole}, but it can't be read (")
    for text in ("", "{", "[]", "1"):
        (tmp_path / "cfg.json").write_text(text)
        assert saelens.detect(tmp_path)  # so that its reader says what is wrong
        assert mistake(tmp_path).startswith("expected ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 40) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=4,
)


@given(data=st.data(), value=JSON, architecture=st.sampled_from(ARCHITECTURES))
def test_no_config_is_answered_with_a_traceback(
    place: Path, data: st.DataObject, value: object, architecture: str
) -> None:
    config = config_of(architecture)
    write(place, config, tensors_of(config))
    part = data.draw(st.sampled_from([config, config["metadata"]]))
    part[data.draw(st.sampled_from([*part, "sae_lens_version", "activation_fn_str", "activation_fn_kwargs"]))] = value
    (place / "cfg.json").write_text(json.dumps(config))
    for reader in (saelens, saelens_old):
        reader.detect(place)
        try:
            coder = reader.read(place, NONE)
        except GlossaError as error:
            said = str(error)
        else:
            said = f"{coder.d_in} inputs, {coder.n_latents} latents"
        assert said.startswith("8 inputs, 16 latents") or str(place) in said
        assert "\n" not in said


@pytest.mark.parametrize("architecture", CHECKPOINTS)
@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("factor", [None, 0.7])
def test_checkpoints_of_batch_topk_by_hand(
    tmp_path: Path, architecture: str, rescale: bool, factor: float | None
) -> None:
    norm = "none" if factor is None else "expected_average_only_in"
    config = config_of(architecture, rescale_acts_by_decoder_norm=rescale, normalize_activations=norm)
    tensors = tensors_of(config)
    folder = write(tmp_path, config, tensors)
    if factor is not None:
        (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": factor}))
    coder = saelens.read(folder, Options())
    x = np.random.default_rng(1).normal(size=(40, 8)) * 2 + 0.5
    latents, outputs = by_hand(config, tensors, x, factor or 1)
    assert 0 < (latents > 0).sum() < latents.size
    assert np.allclose(encoded(coder, x), latents, atol=1e-4)
    assert np.allclose(reconstructed(coder, x), outputs, atol=1e-4)
    save_file({**tensors, "topk_threshold": torch.tensor(0.0)}, folder / "sae_weights.safetensors")
    assert "expected a topk_threshold above 0" in mistake(folder)


def test_an_old_checkpoint_of_a_jumprelu_holds_logarithms(tmp_path: Path) -> None:
    config = config_of("jumprelu")
    tensors = tensors_of(config)
    tensors["threshold"] = tensors["threshold"].abs()
    new = saelens.read(write(tmp_path / "new", config, tensors), Options())
    log = tensors.pop("threshold").log()
    old = saelens.read(write(tmp_path / "old", config, {**tensors, "log_threshold": log}), Options())
    x = np.random.default_rng(1).normal(size=(40, 8)) * 2
    assert np.allclose(encoded(new, x), encoded(old, x), atol=1e-5)
