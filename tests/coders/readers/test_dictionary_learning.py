from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages import coders
from stages.coders.readers import Options, dictionary_learning
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk
from tests.coders.readers.by_hand import any_shape, assert_computes, inputs, relu, top, weights

CONFIGS = Path(__file__).parent / "configs"


def by_hand(kind: str, w: dict[str, np.ndarray], x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents and reconstruction as the library's classes define them."""
    encoder = w["encoder.weight"] if "encoder.weight" in w else w["W_enc"].T
    decoder = w["decoder.weight"].T if "decoder.weight" in w else w["W_dec"]
    match kind:
        case "AutoEncoder":
            latents = relu((x - w["bias"]) @ encoder.T + w["encoder.bias"])
            norms = np.linalg.norm(decoder, axis=1)
            return latents * norms, latents @ decoder + w["bias"]
        case "AutoEncoderNew":
            latents = relu(x @ encoder.T + w["encoder.bias"])
            return latents, latents @ decoder + w["decoder.bias"]
        case "GatedAutoEncoder":
            g = (x - w["decoder_bias"]) @ encoder.T
            latents = (g + w["gate_bias"] > 0) * relu(np.exp(w["r_mag"]) * g + w["mag_bias"])
            return latents, latents @ decoder + w["decoder_bias"]
        case "AutoEncoderTopK":
            latents = top(relu((x - w["b_dec"]) @ encoder.T + w["encoder.bias"]), k)
        case "BatchTopKSAE" | "MatryoshkaBatchTopKSAE":
            h = relu((x - w["b_dec"]) @ encoder.T + w.get("encoder.bias", w.get("b_enc")))
            latents = h * (h > w["threshold"])
        case "JumpReluAutoEncoder":
            h = x @ encoder.T + w["b_enc"]
            latents = relu(h * (h > w["threshold"]))
    return latents, latents @ decoder + w["b_dec"]


@pytest.mark.parametrize("kind", folders.CLASSES)
@given(shape=any_shape, k=st.integers(1, 4))
def test_encoding_and_decoding_by_hand(kind: str, shape: dict[str, Any], k: int) -> None:
    with TemporaryDirectory() as folder:
        made = folders.dictionary(Path(folder), kind=kind, k=k, **shape)
        coder, w = dictionary_learning.read(made.path, Options()), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    assert_computes(coder, x, *by_hand(kind, w, x, k))
    assert coder.published_l0 == (k if "TopK" in kind else None)


def test_the_unit_of_a_latent_is_recorded(tmp_path: Path) -> None:
    for kind in folders.CLASSES:
        made = folders.dictionary(tmp_path / kind, kind=kind)
        coder = dictionary_learning.read(made.path, Options())
        assert coder.W_dec is not None
        unit = np.allclose(coder.W_dec.norm(dim=1), 1, atol=1e-6)
        assert unit == coder.identity["unit_decoder"] == (kind == "AutoEncoder")


def test_a_latent_that_writes_nothing_never_fires_in_units_of_its_decoder(tmp_path: Path) -> None:
    made = folders.dictionary(tmp_path, kind="AutoEncoder")
    tensors = on_disk.read_tensors(made.weights)
    tensors["decoder.weight"][:, 5] = 0
    tensors["encoder.bias"][5] = 100
    on_disk.write_tensors(made.weights, tensors)
    coder = dictionary_learning.read(made.path, Options())
    assert 5 not in coder.encode(torch.tensor(inputs(8), dtype=torch.float32)).latents
    assert coder.W_dec is not None
    assert torch.isfinite(coder.W_dec).all()


@pytest.mark.parametrize(
    ("place", "trainer", "buffer", "hookpoint"),
    [
        ("trainer_0", {}, {"io": "out"}, "blocks.3.hook_resid_post"),
        ("trainer_0", {}, None, "blocks.3.hook_resid_post"),
        ("trainer_0", {}, {"ctx_len": 128}, "blocks.3.hook_resid_post"),
        ("trainer_0", {}, {"io": "in"}, "blocks.3.hook_resid_pre"),
        ("trainer_0", {}, {"io": "in_and_out"}, None),
        ("trainer_0", {"submodule_name": "resid_post_layer_7"}, None, "blocks.7.hook_resid_post"),
        ("trainer_0", {"submodule_name": "mlp_out_layer_7"}, None, "blocks.7.hook_mlp_out"),
        ("trainer_0", {"submodule_name": "something"}, None, None),
        ("trainer_0", {"layer": None}, None, None),
        ("trainer_0", {"layer": -1}, None, None),
        ("resid_post_layer_8/trainer_1", {}, None, "blocks.8.hook_resid_post"),
        ("pythia-70m-deduped/attn_out_layer1/10_32768", {"layer": None}, None, "blocks.1.hook_attn_out"),
        ("pythia-70m-deduped/resid_out_layer1/10_32768", {}, None, "blocks.1.hook_resid_post"),
    ],
)
def test_the_hookpoint(
    tmp_path: Path, place: str, trainer: dict[str, Any], buffer: dict[str, Any] | None, hookpoint: str | None
) -> None:
    made = folders.dictionary(tmp_path / place, kind="AutoEncoder", **trainer)
    assert made.config is not None
    on_disk.edit(made.config, buffer=buffer)
    assert dictionary_learning.read(made.path, Options()).hookpoint == hookpoint


@pytest.mark.parametrize(
    ("name", "kind", "hookpoint", "l0"),
    [
        ("dictionary_learning_2024_04", "AutoEncoder", None, None),  # names neither class nor layer
        ("dictionary_learning_2024_10_topk", "AutoEncoderTopK", "blocks.12.hook_resid_post", 3),  # k lies here only
        ("dictionary_learning_2025_jumprelu", "JumpReluAutoEncoder", "blocks.8.hook_resid_post", 80),
    ],
)
def test_configs_of_every_age(tmp_path: Path, name: str, kind: str, hookpoint: str | None, l0: float | None) -> None:
    made = folders.dictionary(tmp_path, kind=kind)
    shutil.copy(CONFIGS / f"{name}.json", tmp_path / "config.json")
    if name.endswith("2024_10_topk"):
        tensors = on_disk.read_tensors(made.weights)
        on_disk.write_tensors(made.weights, {n: v for n, v in tensors.items() if n not in ("k", "threshold")})
    coder = dictionary_learning.read(tmp_path, Options())
    assert (coder.identity["class"], coder.hookpoint, coder.published_l0) == (kind, hookpoint, l0)


def test_a_checkpoint_is_read_from_its_file(tmp_path: Path) -> None:
    made = folders.dictionary(tmp_path, kind="AutoEncoderTopK")
    file = tmp_path / "checkpoints" / "ae_5000.pt"
    file.parent.mkdir()
    shutil.copy(made.weights, file)
    for path in (file, made.weights):
        assert dictionary_learning.detect(path)
        assert (
            dictionary_learning.read(path, Options()).identity == dictionary_learning.read(tmp_path, Options()).identity
        )
    assert not dictionary_learning.detect(tmp_path / "checkpoints")


def test_weights_without_a_config_are_not_guessed_at(tmp_path: Path) -> None:
    made = folders.dictionary(tmp_path, kind="AutoEncoderNew")
    assert made.config is not None
    made.config.unlink()
    for path in (tmp_path, made.weights):
        with pytest.raises(GlossaError, match=r"expected config\.json in .*, found none"):
            coders.load(str(path))


def test_a_backup_from_the_middle_of_training_is_refused(tmp_path: Path) -> None:
    made = folders.dictionary(tmp_path, kind="BatchTopKSAE")
    backup = {"step": 7, "ae": on_disk.read_tensors(made.weights), "optimizer": {"state": {}}, "norm_factor": 3.5}
    torch.save({**backup, "config": {"lr": 1e-3}}, made.weights)
    with pytest.raises(GlossaError, match="is a backup from the middle of training"):
        dictionary_learning.read(tmp_path, Options())


@pytest.mark.parametrize("kind", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE"])
def test_a_threshold_that_training_never_set_is_refused(tmp_path: Path, kind: str) -> None:
    made = folders.dictionary(tmp_path, kind=kind)
    tensors = on_disk.read_tensors(made.weights)
    on_disk.write_tensors(made.weights, {**tensors, "threshold": torch.tensor(-1.0)})
    with pytest.raises(GlossaError, match="would fire at everything positive; train it past threshold_start_step"):
        dictionary_learning.read(tmp_path, Options())


@pytest.mark.parametrize(
    ("trainer", "expected"),
    [
        ({"dict_class": "IdentityDict"}, "to be one of AutoEncoder, AutoEncoderNew,"),
        ({"dict_class": ["AutoEncoder"]}, "no other class of dictionary can be read"),
        ({"dict_class": None}, "found None"),  # TopK and BatchTopK have the same tensors
        ({"dict_class": "JumpReluAutoEncoder"}, "expected only W_dec, W_enc, b_dec, b_enc, threshold in"),
        ({"k": 4}, "expected k = 4 in"),
        ({"dict_size": 12}, "of shape [8, 12] in"),
    ],
)
def test_a_config_that_does_not_fit_is_a_mistake(tmp_path: Path, trainer: dict[str, Any], expected: str) -> None:
    made = folders.dictionary(tmp_path, kind="AutoEncoderTopK")
    assert made.config is not None
    on_disk.edit(made.config, trainer={**on_disk.read_config(made.config)["trainer"], **trainer})
    with pytest.raises(GlossaError) as caught:
        dictionary_learning.read(tmp_path, Options())
    assert expected in str(caught.value)
