"""Our readers of SAELens and Gemma Scope against SAELens itself, on random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stages.coders.readers import (
    Options,
    gemma_scope,
    gemma_scope_2,
    plain,
    processing,
    qwen_scope,
    saelens,
    saelens_old,
)
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from tests.coders.readers import folders
from tests.coders.readers import test_gemma_scope as one
from tests.coders.readers import test_gemma_scope_2 as two
from tests.coders.readers.dense import encoded, reconstructed
from tests.coders.readers.saelens_folders import ARCHITECTURES, config_of, tensors_of, write
from tests.coders.readers.test_saelens_old import tiny

sae_lens = pytest.importorskip("sae_lens")
from sae_lens import registry  # noqa: E402
from sae_lens.loading import pretrained_sae_loaders as loaders  # noqa: E402
from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory  # noqa: E402

NONE = Options()
UNCENTRED = Options(centre=False)
"""SAELens computes with what it is given; that the subject was centred is for whoever runs it."""
pytestmark = pytest.mark.filterwarnings("ignore:\\nThis SAE has non-empty model_from_pretrained_kwargs:UserWarning")


def inputs(d_in: int = 8) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(64, d_in)) * 2 + 0.3


def assert_same(ours: SparseCoder, theirs: Any, x: np.ndarray, encode_only: bool = False) -> None:
    with torch.inference_mode():
        rows = torch.tensor(x, dtype=torch.float32)
        latents = theirs.encode(rows)
        outputs = theirs(rows)  # which decodes and adds the skip connection
    assert 0 < (latents != 0).sum() < latents.numel()
    assert np.allclose(encoded(ours, x), latents, rtol=1e-5, atol=1e-5)
    if not encode_only:
        assert np.allclose(reconstructed(ours, x), outputs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture(tmp_path: Path, architecture: str, seed: int) -> None:
    config = config_of(architecture)
    folder = write(tmp_path, config, tensors_of(config, seed))
    assert_same(saelens.read(folder, NONE), sae_lens.SAE.load_from_disk(folder), inputs())


@pytest.mark.parametrize("norm", ["none", "layer_norm", "constant_norm_rescale"])
@pytest.mark.parametrize("subtract", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
def test_every_flag(tmp_path: Path, architecture: str, rescale: bool, subtract: bool, norm: str) -> None:
    more = {"rescale_acts_by_decoder_norm": rescale} if architecture == "topk" else {}
    config = config_of(architecture, normalize_activations=norm, apply_b_dec_to_input=subtract, **more)
    folder = write(tmp_path, config, tensors_of(config))
    assert_same(saelens.read(folder, NONE), sae_lens.SAE.load_from_disk(folder), inputs())


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated", "transcoder"])
def test_the_constant_scale_is_folded_alike(tmp_path: Path, architecture: str) -> None:
    more = {"rescale_acts_by_decoder_norm": True} if architecture == "topk" else {}
    config = config_of(architecture, normalize_activations="expected_average_only_in", **more)
    folder = write(tmp_path, config, tensors_of(config))
    theirs = sae_lens.SAE.load_from_disk(folder)
    theirs.fold_activation_norm_scaling_factor(0.7)
    assert_same(saelens.read(folder, Options(norm_factor=0.7)), theirs, inputs())


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu", "gated"])
def test_what_it_saves_is_read(tmp_path: Path, architecture: str) -> None:
    theirs = sae_lens.SAE.from_dict(config_of(architecture, dtype="float32"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for value in theirs.parameters():
            value.data.normal_(std=0.5)
    theirs.save_model(tmp_path)
    assert saelens.detect(tmp_path)
    assert_same(saelens.read(tmp_path, NONE), theirs, inputs())


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
@pytest.mark.parametrize("rescale", [False, True])
def test_batch_topk_is_read_as_saved_for_inference_and_in_training(
    tmp_path: Path, architecture: str, rescale: bool
) -> None:
    widths = {"matryoshka_widths": [4, 16]} if architecture == "matryoshka_batchtopk" else {}
    config = {"architecture": architecture, "d_in": 8, "d_sae": 16, "k": 4, "rescale_acts_by_decoder_norm": rescale}
    theirs = sae_lens.TrainingSAE.from_dict({**config, **widths})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for value in theirs.parameters():
            value.data.normal_(std=0.5)
    theirs.topk_threshold.fill_(0.4)
    theirs.save_inference_model(tmp_path / "inference")
    ours = saelens.read(tmp_path / "inference", NONE)
    assert_same(ours, sae_lens.SAE.load_from_disk(tmp_path / "inference"), inputs())

    theirs.save_model(tmp_path / "training")
    assert_same(
        saelens.read(tmp_path / "training", NONE), sae_lens.SAE.load_from_disk(tmp_path / "inference"), inputs()
    )


def test_every_architecture_that_it_has_is_either_read_or_refused_with_its_reason() -> None:
    known = {*registry.SAE_CLASS_REGISTRY, *registry.SAE_TRAINING_CLASS_REGISTRY}
    assert known == {*saelens.ARCHITECTURES, *saelens.REFUSED}


@pytest.mark.parametrize(
    ("config", "options"),
    [
        (tiny("gpt2_small_res_jb"), UNCENTRED),
        (tiny("gpt2_small_oai_v5_resid_mid", activation_fn_kwargs={"k": 4}), NONE),
        (tiny("gpt2_small_mlp_tm"), Options(norm_factor=1.3, centre=False)),
        (tiny("gemma_2b_res_jb"), Options(norm_factor=0.4)),
        (tiny("llama_3_8b_it_res_jh"), NONE),
        (tiny("mistral_7b_res_wg"), NONE),
        (tiny("pythia_70m_att_sm"), NONE),
        (tiny("pythia_70m_att_sm", architecture="jumprelu"), NONE),
    ],
)
def test_configs_from_before_version_6(tmp_path: Path, config: dict[str, Any], options: Options) -> None:
    kind = "topk" if "oai" in str(config.get("neuronpedia_id")) else config.get("architecture", "standard")
    folder = write(tmp_path, config, tensors_of({**config, "architecture": kind}))
    theirs = sae_lens.SAE.load_from_disk(folder)
    if options.norm_factor is not None:
        theirs.fold_activation_norm_scaling_factor(options.norm_factor)
    assert_same(saelens_old.read(folder, options), theirs, inputs())


def test_what_we_know_of_coders_that_do_not_say_it_is_what_its_registry_says() -> None:
    releases = get_pretrained_saes_directory()
    centred, normalised = set(), {}
    for name, release in releases.items():
        overrides = release.config_overrides or {}
        if (overrides.get("model_from_pretrained_kwargs") or {}).get("center_writing_weights"):
            centred.add(name)
            assert all(processing.CENTRED_IDS.fullmatch(known) for known in release.neuronpedia_id.values() if known)
        if "normalize_activations" in overrides:
            normalised[name] = overrides["normalize_activations"]
    assert centred == {"gpt2-small-res-jb", "gpt2-small-res-jb-feature-splitting", "gpt2-small-mlp-tm"}
    assert normalised == {"mistral-7b-res-wg": "constant_norm_rescale"}


# Where we differ from it on purpose:


def test_weights_of_half_precision_are_computed_with_in_float32(tmp_path: Path) -> None:
    # SAELens computes in the type of the weights: a bfloat16 has 8 bits, so its own rounding decides who is active.
    config = config_of("standard", dtype="bfloat16")
    tensors = tensors_of(config, dtype=torch.bfloat16)
    folder = write(tmp_path, config, tensors)
    exact = {**config, "dtype": "float32"}
    theirs = sae_lens.SAE.load_from_disk(write(tmp_path / "exact", exact, {n: t.float() for n, t in tensors.items()}))
    assert_same(saelens.read(folder, NONE), theirs, inputs())


def test_an_unknown_constant_scale_is_refused(tmp_path: Path) -> None:
    # SAELens warns, at most, and goes on with inputs of another scale than in training.
    config = config_of("standard", normalize_activations="expected_average_only_in")
    folder = write(tmp_path, config, tensors_of(config))
    assert sae_lens.SAE.load_from_disk(folder).cfg.normalize_activations == "expected_average_only_in"
    with pytest.raises(GlossaError, match="give it as norm_factor"):
        saelens.read(folder, NONE)


def test_a_latent_without_a_decoder_direction_reconstructs_nothing(tmp_path: Path) -> None:
    # SAELens divides its activation, 0, by the norm 0.
    config = config_of("topk", rescale_acts_by_decoder_norm=True)
    tensors = tensors_of(config)
    tensors["W_dec"][3] = 0
    folder = write(tmp_path, config, tensors)
    theirs = sae_lens.SAE.load_from_disk(folder)
    assert torch.isnan(theirs(torch.ones(1, 8))).all()
    assert_same(saelens.read(folder, NONE), theirs, inputs(), encode_only=True)
    assert np.isfinite(reconstructed(saelens.read(folder, NONE), inputs())).all()


def test_heads_are_merged_already(tmp_path: Path) -> None:
    # SAELens takes [inputs, heads, d_head]; the input of a Hugging Face output projection is [inputs, heads · d_head].
    config = config_of("standard", reshape_activations="hook_z")
    config["metadata"]["hook_name"] = "blocks.5.attn.hook_z"
    folder = write(tmp_path, config, tensors_of(config))
    with torch.inference_mode():
        theirs = sae_lens.SAE.load_from_disk(folder).encode(
            torch.tensor(inputs().reshape(64, 2, 4), dtype=torch.float32)
        )
    assert np.allclose(encoded(saelens.read(folder, NONE), inputs()), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["abstopk", "matching_pursuit", "temporal"])
def test_what_no_coder_here_can_compute_is_refused(tmp_path: Path, architecture: str) -> None:
    config = {"architecture": architecture, "d_in": 8, "d_sae": 512, "apply_b_dec_to_input": False}
    sae_lens.SAE.from_dict(config).save_model(tmp_path)
    with pytest.raises(GlossaError, match=f"is of the architecture {architecture}, which "):
        saelens.read(tmp_path, NONE)


# Gemma Scope, which SAELens reads from the hub alone: its download is replaced by the folder at hand.


class Missing(loaders.EntryNotFoundError):
    def __init__(self) -> None:
        Exception.__init__(self)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def download(repo_id: str, filename: str, subfolder: str = "", **more: Any) -> str:
        path = tmp_path / repo_id / subfolder / filename
        if not path.exists():
            raise Missing
        return str(path)

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        tensors = loaders.load_safetensors_weights(download(repo_id, filename))
        return {name: list(value.shape) for name, value in tensors.items()}

    monkeypatch.setattr(loaders, "hf_hub_download", download)
    monkeypatch.setattr(loaders, "get_safetensors_tensor_shapes", shapes)
    return tmp_path


def built(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    config = {**loaders.handle_config_defaulting(config), "reshape_activations": "none"}  # its heads are split
    sae = sae_lens.SAE.from_dict(config)
    sae.load_state_dict(tensors)
    return sae


@pytest.mark.parametrize("site", ["res", "mlp", "att", "transcoders"])
def test_gemma_scope(hub: Path, site: str) -> None:
    repo, name = f"google/gemma-scope-2b-pt-{site}", "layer_5/width_16k/average_l0_76"
    folder = one.write(hub / repo / name, one.arrays_of())
    load, widths = loaders.gemma_2_sae_huggingface_loader, {"d_in": 8, "d_sae": 16}
    if site == "transcoders":
        load, widths = loaders.gemma_2_transcoder_huggingface_loader, {**widths, "d_out": 8}
    config, tensors, _ = load(repo, name, "cpu", cfg_overrides=widths)
    assert_same(gemma_scope.read(folder, NONE), built(config, tensors), inputs())


def test_gemma_scope_of_embeddings(hub: Path) -> None:
    repo, name = "google/gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_44"
    folder = one.write(hub / repo / name, one.arrays_of())
    config, tensors, _ = loaders.gemma_2_sae_huggingface_loader(
        repo, name, "cpu", cfg_overrides={"d_in": 8, "d_sae": 16}
    )
    # SAELens leaves b_dec on the scale of the file, so that its reconstruction is of two scales at once.
    ours = gemma_scope.read(folder, Options(norm_factor=8**-0.5))
    assert_same(ours, built(config, tensors), inputs(), encode_only=True)


@pytest.mark.parametrize(
    ("site", "hook", "affine"),
    [
        ("resid_post", "model.layers.17.output", False),
        ("attn_out_all", "model.layers.17.self_attn.o_proj.input", False),
        ("mlp_out", "model.layers.17.post_feedforward_layernorm.output", False),
        ("transcoder_all", "model.layers.17.pre_feedforward_layernorm.output", False),
        ("transcoder", "model.layers.17.pre_feedforward_layernorm.output", True),
    ],
)
@pytest.mark.parametrize("with_config", [False, True])
def test_gemma_scope_2(hub: Path, site: str, hook: str, affine: bool, with_config: bool) -> None:
    repo, name = "google/gemma-scope-2-4b-pt", f"{site}/layer_17_width_16k_l0_big{'_affine' if affine else ''}"
    config = two.config_of(affine_connection=affine, hf_hook_point_in=hook) if with_config else None
    folder = two.write(hub / repo / name, config, two.tensors_of(skip=affine))
    theirs, tensors, _ = loaders.gemma_3_sae_huggingface_loader(repo, name)
    ours = gemma_scope_2.read(folder, NONE)
    assert ours.hookpoint == theirs["hf_hook_name"] == hook
    assert_same(ours, built(theirs, tensors), inputs())


def test_qwen_scope(hub: Path) -> None:
    repo = "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_5"
    made = folders.qwen_scope(hub / "Qwen", k=5)
    config, tensors, _ = loaders.qwen_scope_sae_huggingface_loader(
        repo, made.path.name, cfg_overrides={"d_in": 8, "d_sae": 16}
    )
    ours = qwen_scope.read(made.path, NONE)
    assert config["hook_name"] == "blocks.4.hook_resid_post"
    assert ours.hookpoint == "layers.4"
    assert_same(ours, built(config, tensors), inputs())


@pytest.mark.parametrize(
    ("kind", "load"),
    [
        ("goodfire", loaders.get_goodfire_huggingface_loader),
        ("qresearch", loaders.deepseek_r1_sae_huggingface_loader),
        ("attention", loaders.connor_rob_hook_z_huggingface_loader),
    ],
)
def test_files_of_weights_alone(hub: Path, kind: str, load: Any) -> None:
    repo = "Goodfire/Llama-3.1-8B-Instruct-SAE-l19" if kind == "goodfire" else "author/repo"
    made = folders.plain(hub / repo, kind=kind)
    config, tensors, _ = load(repo, made.path.name, "cpu", cfg_overrides={"d_in": 8, "d_sae": 16, "dtype": "float32"})
    assert_same(plain.read(made.path, NONE), built(config, tensors), inputs())


def test_a_layer_of_a_cross_layer_transcoder(hub: Path) -> None:
    repo, name = "google/gemma-scope-2-270m-pt", "clt/width_262k_l0_medium_affine"
    folder = two.cross_layer(hub / repo / name, None)
    theirs, tensors, _ = loaders.gemma_3_sae_huggingface_loader(repo, f"{name}/params_layer_1")
    ours = gemma_scope_2.read(folder / "params_layer_1.safetensors", NONE)
    assert ours.hookpoint == theirs["hf_hook_name"]
    assert_same(ours, built(theirs, tensors), inputs(), encode_only=True)
