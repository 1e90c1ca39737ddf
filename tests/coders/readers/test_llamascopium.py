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

from stages.coders.readers import Options, llamascopium
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk
from tests.coders.readers.by_hand import any_shape, assert_computes, inputs, relu, top, weights


@given(
    any_shape,
    st.sampled_from(["jumprelu", "relu", "topk"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["dataset-wise", "token-wise", "inference"]),
    st.booleans(),
    st.booleans(),
)
def test_encoding_and_decoding_by_hand(
    shape: dict[str, Any], act_fn: str, weighed: bool, bias: bool, norm: str, transcoder: bool, old: bool
) -> None:
    transcoder = transcoder and norm != "token-wise"
    config: dict[str, Any] = {"hook_point_out": "blocks.9.hook_mlp_out"} if transcoder else {}
    if old:
        config["apply_decoder_bias_to_pre_encoder"] = True
    with TemporaryDirectory() as folder:
        made = folders.llamascopium(
            Path(folder),
            **shape,
            **config,
            names_of_2025=old,
            act_fn=act_fn,
            use_decoder_bias=bias,
            norm_activation=norm,
            sparsity_include_decoder_norm=weighed,
        )
        coder, w = llamascopium.read(made.path, Options()), weights(made.weights)

    # As in training: inputs are scaled, a latent's value times its decoder's norm decides, and outputs are scaled back.
    x = inputs(shape["d"], shape["seed"])
    W, b = (w["encoder.weight"].T, w["encoder.bias"]) if old else (w["W_E"], w["b_E"])  # noqa: N806
    V = w["decoder.weight"].T if old else w["W_D"]  # noqa: N806
    c = w["decoder.bias" if old else "b_D"] if bias else np.zeros(shape["d"])
    root = shape["d"] ** 0.5
    s_in = s_out = 1.0
    if norm == "dataset-wise":
        norm_in, norm_out = (
            w[f"dataset_average_activation_norm.{hook}"]
            for hook in (
                "blocks.9.hook_resid_post",
                "blocks.9.hook_mlp_out" if transcoder else "blocks.9.hook_resid_post",
            )
        )
        s_in, s_out = root / norm_in, root / norm_out
    if norm == "token-wise":
        s_in = s_out = root / np.linalg.norm(x, axis=1, keepdims=True)
    h = (x * s_in - (c if old else 0)) @ W + b
    norms = np.linalg.norm(V, axis=1) if weighed else np.ones(len(V))
    threshold = np.exp(w.get("log_jumprelu_threshold", w.get("activation_function.log_jumprelu_threshold", 0)))
    fires = {"jumprelu": h * norms > threshold, "relu": h > 0, "topk": relu(top(h * norms, 3)) > 0}[act_fn]
    trained = h * fires

    # Here: in units of the inputs as they are and, for a weighed TopK coder, of decoder rows of norm 1.
    unit = np.ones_like(norms) if norm == "token-wise" else np.full(len(V), 1 / s_in)
    if act_fn == "topk" and weighed:
        unit = np.linalg.norm(V, axis=1) / (s_out if norm == "dataset-wise" else 1)
    assert_computes(coder, x, trained * unit, (trained @ V + c) / s_out)
    assert (coder.hookpoint, coder.published_l0) == ("blocks.9.hook_resid_post", 3 if act_fn == "topk" else None)


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        ("llama_scope_r1_distill_2025", {"names_of_2025": True}, ("jumprelu", 8**0.5 / 7, None)),
        ("llamascopium_2026", {"act_fn": "topk"}, ("topk", 1.0, 3)),
    ],
)
def test_configs_of_every_age(
    tmp_path: Path, name: str, flags: dict[str, Any], expected: tuple[str, float, int | None]
) -> None:
    made = folders.llamascopium(tmp_path, hook_point_in="blocks.15.hook_resid_post", **flags)
    assert made.config is not None
    shutil.copy(Path(__file__).parent / "configs" / f"{name}.json", made.config)
    coder = llamascopium.read(tmp_path, Options())
    assert coder.hookpoint == "blocks.15.hook_resid_post"
    assert (coder.identity["activation"], coder.identity["s_in"], coder.identity["k"]) == expected


def test_r1_distill_needs_the_norm_of_its_inputs_where_the_file_has_none(tmp_path: Path) -> None:
    made = folders.llamascopium(tmp_path, names_of_2025=True)
    complete = llamascopium.read(tmp_path, Options())
    tensors = on_disk.read_tensors(made.weights)
    on_disk.write_tensors(made.weights, {n: v for n, v in tensors.items() if not n.startswith("dataset_average")})
    with pytest.raises(GlossaError, match=r"give norm_factor: √d_model divided by the average norm of its inputs"):
        llamascopium.read(tmp_path, Options())
    told = llamascopium.read(tmp_path, Options(norm_factor=8**0.5 / 7))
    assert torch.allclose(told.b_enc, complete.b_enc)
    assert isinstance(told.activation, type(complete.activation))
    x = torch.tensor(inputs(8), dtype=torch.float32)
    assert torch.allclose(told.encode(x).values, complete.encode(x).values)


def test_a_norm_that_the_file_has_is_not_to_be_said_again(tmp_path: Path) -> None:
    folders.llamascopium(tmp_path)
    with pytest.raises(GlossaError, match="take norm_factor out"):
        llamascopium.read(tmp_path, Options(norm_factor=1.0))


@pytest.mark.parametrize("place", ["checkpoints/pruned.safetensors", "checkpoints/final.safetensors"])
def test_weights_are_found_where_the_library_looks(tmp_path: Path, place: str) -> None:
    made = folders.llamascopium(tmp_path)
    before = llamascopium.read(tmp_path, Options()).identity
    (tmp_path / place).parent.mkdir()
    made.weights.rename(tmp_path / place)
    assert llamascopium.detect(tmp_path)
    assert llamascopium.read(tmp_path, Options()).identity == before


def test_norms_that_nothing_uses_may_be_garbage(tmp_path: Path) -> None:
    made = folders.llamascopium(tmp_path, norm_activation="inference")
    tensors = on_disk.read_tensors(made.weights)
    tensors["dataset_average_activation_norm.blocks.9.hook_resid_post"] = torch.tensor(float("nan"))
    on_disk.write_tensors(made.weights, tensors)
    assert llamascopium.read(tmp_path, Options()).n_latents == 16


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"sae_type": "clt"}, "expected a list of hookpoints for hook_points_in in"),
        ({"sae_type": "crosscoder"}, "expected a list of hookpoints for hook_points in"),
        ({"sae_type": "lorsa"}, "but a Lorsa reads whole sequences"),
        ({"sae_type": "molt"}, "but a MOLT's latents are linear maps"),
        ({"sae_type": "new"}, "but its meaning is not known"),
        ({"use_glu_encoder": True}, "only linear encoders can be read"),
        ({"act_fn": "batchtopk"}, "depends on the others in its batch; convert it to jumprelu"),
        ({"act_fn": "layertopk"}, "expected act_fn relu, jumprelu or topk in"),
        ({"act_fn": "topk", "top_k": 17}, "expected a whole number from 1 to 16 for top_k in"),
        ({"norm_activation": "batch-wise"}, "which can't be undone for a single token"),
        ({"norm_activation": "token-wise", "hook_point_out": "blocks.9.hook_mlp_out"}, "from one hookpoint to another"),
        (
            {"hook_point_out": "blocks.9.hook_mlp_out"},
            "expected the average norms dataset_average_activation_norm.blocks.9",
        ),
        ({"expansion_factor": 3.0}, "of shape [8, 24] in"),
    ],
)
def test_what_cannot_be_read_faithfully_is_refused(tmp_path: Path, config: dict[str, Any], expected: str) -> None:
    made = folders.llamascopium(tmp_path)
    assert made.config is not None
    on_disk.edit(made.config, **config)
    with pytest.raises(GlossaError) as caught:
        llamascopium.read(tmp_path, Options())
    assert expected in str(caught.value)
