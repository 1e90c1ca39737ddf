from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.coders.readers import Options, llama_scope
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk
from tests.coders.readers.by_hand import any_shape, assert_computes, inputs, relu, top, weights


@given(
    any_shape,
    st.sampled_from(["jumprelu", "relu", "topk"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(7.0, 9.0), (5.0, 5.0), None]),
)
def test_encoding_and_decoding_by_hand(
    shape: dict[str, Any], act_fn: str, unit: bool, bias: bool, subtracts: bool, norms: tuple[float, float] | None
) -> None:
    subtracts = subtracts and norms != (7.0, 9.0)
    config: dict[str, Any] = {"norm_activation": "inference"}
    if norms:
        config = {"dataset_average_activation_norm": {"in": norms[0], "out": norms[1]}}
    with TemporaryDirectory() as folder:
        made = folders.llama_scope(
            Path(folder),
            **shape,
            **config,
            act_fn=act_fn,
            use_decoder_bias=bias,
            sparsity_include_decoder_norm=unit,
            apply_decoder_bias_to_pre_encoder=subtracts,
        )
        coder, w = llama_scope.read(made.path, Options()), weights(made.weights)

    # The loader of December 2024, step by step, on the layers as they are saved.
    x = inputs(shape["d"], shape["seed"])
    s_in, s_out = [shape["d"] ** 0.5 / norm for norm in norms] if norms else (1.0, 1.0)
    encoder, decoder, b_enc = w["encoder.weight"], w["decoder.weight"], w["encoder.bias"] / s_in
    b_dec = w["decoder.bias"] / s_out if bias else np.zeros(shape["d"])
    decoder = decoder * s_in / s_out
    if unit:
        lengths = np.linalg.norm(decoder, axis=0)
        decoder, encoder, b_enc = decoder / lengths, encoder * lengths[:, None], b_enc * lengths
    h = (x - b_dec if subtracts else x) @ encoder.T + b_enc
    latents = {"jumprelu": h * (h > 0.5), "relu": relu(h), "topk": relu(top(h, 3))}[act_fn]
    assert_computes(coder, x, latents, latents @ decoder.T + b_dec)
    assert (coder.hookpoint, coder.published_l0) == ("blocks.15.hook_resid_post", 3 if act_fn == "topk" else None)


def test_the_config_of_a_published_coder(tmp_path: Path) -> None:
    made = folders.llama_scope(tmp_path)
    assert made.config is not None
    shutil.copy(Path(__file__).parent / "configs" / "llama_scope_2024.json", made.config)
    coder = llama_scope.read(tmp_path, Options())
    assert coder.hookpoint == "blocks.15.hook_resid_post"
    assert (coder.identity["threshold"], coder.identity["s_in"]) == (0.52734375, 8**0.5 / 17.125)


def test_all_that_decides_activations_is_in_the_identity(tmp_path: Path) -> None:
    made = folders.llama_scope(tmp_path)
    assert made.config is not None
    seen = {llama_scope.read(tmp_path, Options()).identity["sha256"]}
    for change in (
        {"jump_relu_threshold": 0.25},
        {"dataset_average_activation_norm": {"in": 7.0, "out": 7.0}},
        {"apply_decoder_bias_to_pre_encoder": True},
        {"sparsity_include_decoder_norm": False},
        {"norm_activation": "inference"},
        {"act_fn": "topk"},
        {"top_k": 2},
        {"act_fn": "relu"},
    ):
        on_disk.edit(made.config, **change)
        seen.add(llama_scope.read(tmp_path, Options()).identity["sha256"])
    assert len(seen) == 9


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"jump_relu_threshold": -0.1}, "expected a number of at least 0 for jump_relu_threshold in"),
        ({"jump_relu_threshold": float("nan")}, "found nan"),
        ({"dataset_average_activation_norm": {"in": 7.0}}, "expected a number above 0 for out in"),
        ({"dataset_average_activation_norm": 7.0}, "expected a number above 0 for in in"),
        ({"norm_activation": "token-wise"}, "expected norm_activation dataset-wise or inference in"),
        ({"act_fn": "gelu"}, "expected act_fn jumprelu, relu or topk in"),
        ({"use_glu_encoder": True}, "only linear encoders can be read"),
        ({"apply_decoder_bias_to_pre_encoder": True}, "from an input of another scale"),
    ],
)
def test_a_config_that_does_not_fit_is_a_mistake(tmp_path: Path, config: dict[str, Any], expected: str) -> None:
    made = folders.llama_scope(tmp_path)
    assert made.config is not None
    on_disk.edit(made.config, **config)
    with pytest.raises(GlossaError) as caught:
        llama_scope.read(tmp_path, Options())
    assert expected in str(caught.value)
