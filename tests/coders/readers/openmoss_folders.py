"""Writes tiny random coders as OpenMOSS's libraries save them; see ``folders``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.coders.readers.on_disk import D_IN, LATENTS, Draw, K, Made, write_config, write_tensors


def llama_scope(
    folder: Path, *, seed: int = 0, d: int = D_IN, n: int = LATENTS, dtype: Any = torch.float32, **config: Any
) -> Made:
    draw = Draw(seed, dtype)
    tensors = {
        "encoder.weight": draw(n, d),
        "encoder.bias": draw(n),
        "decoder.weight": draw(d, n),
        "decoder.bias": draw(d),
    }
    if config.get("use_decoder_bias") is False:
        del tensors["decoder.bias"]
    weights = folder / "checkpoints" / "final.safetensors"
    write_tensors(weights, tensors)
    defaults = {
        "d_model": d,
        "d_sae": n,
        "expansion_factor": n // d,
        "hook_point_in": "blocks.15.hook_resid_post",
        "hook_point_out": "blocks.15.hook_resid_post",
        "act_fn": "jumprelu",
        "jump_relu_threshold": 0.5,
        "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": 7.0, "out": 9.0},
        "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": False,
        "sparsity_include_decoder_norm": True,
        "use_glu_encoder": False,
        "top_k": K,
    }
    write_config(folder / "hyperparams.json", {**defaults, **config})
    return Made(
        folder, weights, folder / "hyperparams.json", "d_model", "top_k" if config.get("act_fn") == "topk" else None
    )


def llamascopium(
    folder: Path,
    *,
    act_fn: str = "jumprelu",
    names_of_2025: bool = False,
    seed: int = 0,
    d: int = D_IN,
    n: int = LATENTS,
    dtype: Any = torch.float32,
    **config: Any,
) -> Made:
    draw = Draw(seed, dtype)
    W, b, V, c = draw(d, n), draw(n), draw(n, d), draw(d)  # noqa: N806
    names = (
        ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias")
        if names_of_2025
        else ("W_E", "b_E", "W_D", "b_D")
    )
    values = (W.T.contiguous(), b, V.T.contiguous(), c) if names_of_2025 else (W, b, V, c)
    tensors = dict(zip(names, values, strict=True))
    if config.get("use_decoder_bias") is False:
        del tensors[names[3]]
    hook_in = config.setdefault("hook_point_in", "blocks.9.hook_resid_post")
    hook_out = config.setdefault("hook_point_out", hook_in)
    if act_fn == "jumprelu":
        tensors["log_jumprelu_threshold" if names_of_2025 else "activation_function.log_jumprelu_threshold"] = draw(n)
    for hook, norm in ((hook_in, 7.0), (hook_out, 7.0 if hook_in == hook_out else 9.0)):
        tensors[f"dataset_average_activation_norm.{hook}"] = torch.tensor(norm, dtype=dtype)
    write_tensors(folder / "sae_weights.safetensors", tensors)
    defaults = {
        "sae_type": "sae",
        "d_model": d,
        "expansion_factor": n / d,
        "act_fn": act_fn,
        "norm_activation": "dataset-wise",
        "sparsity_include_decoder_norm": True,
        "use_decoder_bias": True,
        "use_glu_encoder": False,
        "top_k": K,
    }
    write_config(folder / "config.json", {**defaults, **config})
    return Made(
        folder,
        folder / "sae_weights.safetensors",
        folder / "config.json",
        "d_model",
        "top_k" if act_fn == "topk" else None,
    )
