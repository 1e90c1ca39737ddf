"""Writes tiny random coders of several layers or places, and per-layer ones of the same library; see ``folders``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.coders.readers.on_disk import D_IN, LATENTS, Draw, K, Made, write_config, write_tensors


def circuit_tracer(
    folder: Path,
    *,
    activation: str | None = None,
    threshold: bool = False,
    skip: bool = False,
    cross_layer: bool = False,
    decoders: bool = False,
    seed: int = 0,
    d: int = D_IN,
    n: int = LATENTS,
    dtype: Any = torch.float32,
) -> Made:
    draw = Draw(seed, dtype)
    tensors = {"W_enc": draw(n, d), "b_enc": draw(n), "b_dec": draw(d)}
    if not cross_layer:
        tensors["W_dec"] = draw(n, d)
    if skip:
        tensors["W_skip"] = draw(d, d)
    if threshold:
        tensors["threshold" if cross_layer else "activation_function.threshold"] = draw.positive(n)
    if cross_layer:
        tensors = {f"{name}_3": value for name, value in tensors.items()}
    weights = folder / ("W_enc_3.safetensors" if cross_layer else "layer_3.safetensors")
    write_tensors(weights, tensors)
    if decoders:
        write_tensors(folder / "W_dec_3.safetensors", {"W_dec_3": draw(n, 2, d)})  # of a model of five layers
    config = {
        "model_name": "some/model",
        "model_kind": "cross_layer_transcoder" if cross_layer else "transcoder_set",
        "feature_input_hook": "mlp.hook_in",
        "feature_output_hook": "hook_mlp_out",
    }
    if activation:
        config["activation"] = activation
    if activation == "topk":
        config["k"] = K  # type: ignore[assignment]
    write_config(folder / "config.yaml", config)
    # Without thresholds and without a word about them, a file is one of those that have a ReLU.
    unsaid = {"activation_function.threshold", "threshold_3"} if activation is None else set()
    return Made(
        weights,
        weights,
        folder / "config.yaml",
        k="k" if activation == "topk" else None,
        optional=frozenset(unsaid | {"W_skip"}),
    )


def gemma_scope_2_layer(
    folder: Path, *, kind: str = "clt", layer: int = 1, layers: int = 3, seed: int = 0, d: int = D_IN, n: int = LATENTS
) -> Made:
    """The file of one layer of a cross-layer transcoder or, of kind ``crosscoder``, of a crosscoder of layers 7, 13, ..."""
    draw = Draw(seed)
    numbers = "_".join(str(7 + 6 * at) for at in range(layers))
    name = {"clt": "width_262k_l0_medium_affine", "crosscoder": f"layer_{numbers}_width_65k_l0_medium"}[kind]
    tensors = {
        "w_enc": draw(d, n),
        "w_dec": draw(n, layers, d),
        "b_enc": draw(n),
        "b_dec": draw(d),
        "threshold": draw.positive(n),
    }
    if kind == "clt":
        tensors["affine_skip_connection"] = draw(d, d)
    place = folder / kind / name
    weights = place / f"params_layer_{layer}.safetensors"
    write_tensors(weights, tensors)
    write_config(place / "config.json", {"architecture": "jump_relu", "type": kind, "width": n, "l0": 50})
    return Made(weights, weights, place / "config.json", optional=frozenset({"affine_skip_connection"}))


def llamascopium_clt(
    folder: Path,
    *,
    act_fn: str = "jumprelu",
    layers: int = 3,
    seed: int = 0,
    d: int = D_IN,
    n: int = LATENTS,
    **config: Any,
) -> Made:
    draw = Draw(seed)
    hooks = [f"blocks.{at}.{hook}" for hook in ("hook_resid_mid", "hook_mlp_out") for at in range(layers)]
    tensors = {"W_E": draw(layers, d, n), "b_E": draw(layers, n)}
    for at in range(layers):
        tensors |= {f"W_D.{at}": draw(at + 1, n, d), f"b_D.{at}": draw(d)}
    if act_fn == "jumprelu":
        tensors["activation_function.log_jumprelu_threshold"] = draw(layers, n)
    tensors |= {f"dataset_average_activation_norm.{hook}": torch.tensor(3.0 + at) for at, hook in enumerate(hooks)}
    spare = {
        f"dataset_average_activation_norm.{hooks[at]}"
        for at in range(len(hooks))
        if at not in (1, layers + 1, layers + 2)
    }
    spare |= {"W_D.0", *(f"b_D.{at}" for at in range(layers) if at != 1)}
    hooked = {"hook_points_in": hooks[:layers], "hook_points_out": hooks[layers:]}
    made = _openmoss(folder, tensors, "clt", act_fn, d, n, **hooked, **config)
    return replace(made, optional=frozenset(spare), unread=frozenset(spare), hookpoint=hooks[1])


def llamascopium_crosscoder(
    folder: Path,
    *,
    act_fn: str = "jumprelu",
    places: int = 2,
    seed: int = 0,
    d: int = D_IN,
    n: int = LATENTS,
    **config: Any,
) -> Made:
    draw = Draw(seed)
    hooks = [f"blocks.{at}.hook_resid_post" for at in range(places)]
    tensors = {"W_E": draw(places, d, n), "b_E": draw(places, n), "W_D": draw(places, n, d), "b_D": draw(places, d)}
    if act_fn == "jumprelu":
        tensors["activation_function.log_jumprelu_threshold"] = draw(n)
    tensors |= {f"dataset_average_activation_norm.{hook}": torch.tensor(3.0 + at) for at, hook in enumerate(hooks)}
    return replace(_openmoss(folder, tensors, "crosscoder", act_fn, d, n, hook_points=hooks, **config), places=places)


def _openmoss(folder: Path, tensors: dict[str, Any], kind: str, act_fn: str, d: int, n: int, **config: Any) -> Made:
    weights = folder / "sae_weights.safetensors"
    write_tensors(weights, tensors)
    defaults = {
        "sae_type": kind,
        "d_model": d,
        "expansion_factor": n / d,
        "act_fn": act_fn,
        "norm_activation": "dataset-wise",
        "sparsity_include_decoder_norm": True,
        "use_decoder_bias": True,
        "top_k": K,
    }
    write_config(folder / "config.json", {**defaults, **config})
    return Made(folder, weights, folder / "config.json", "d_model", "top_k" if act_fn == "topk" else None)


def hub_crosscoder(
    folder: Path,
    *,
    batch: bool = False,
    normalization: int = 1,
    places: int = 2,
    seed: int = 0,
    d: int = D_IN,
    n: int = LATENTS,
    **config: Any,
) -> Made:
    """``normalization`` is the number of ``code_normalization_id``."""
    draw = Draw(seed)
    tensors = {
        "encoder.weight": draw(places, d, n),
        "encoder.bias": draw(n),
        "decoder.weight": draw(places, n, d),
        "decoder.bias": draw(places, d),
        "code_normalization_id": torch.tensor(normalization),
    }
    if batch:
        decoupled = normalization == 5
        tensors |= {
            "k": torch.tensor(K, dtype=torch.int),
            "threshold": draw.positive(places) * 9 if decoupled else draw.positive() * 9,
        }
    weights = folder / "model.safetensors"
    write_tensors(weights, tensors)
    write_config(folder / "config.json", {"activation_dim": d, "dict_size": n, "num_layers": places, **config})
    return Made(
        folder,
        weights,
        folder / "config.json",
        "activation_dim",
        optional=frozenset({"code_normalization_id", "k"}),
        hookpoint=" + ".join(f"layers.{3 * at}" for at in range(places)),
        places=places,
    )


def hub_mixin(folder: Path, *, batch: bool = False, seed: int = 0, d: int = D_IN, n: int = LATENTS) -> Made:
    """An autoencoder of one place."""
    draw = Draw(seed)
    tensors = {"encoder.weight": draw(n, d), "encoder.bias": draw(n), "decoder.weight": draw(d, n)}
    tensors["b_dec" if batch else "bias"] = draw(d)
    if batch:
        tensors |= {"k": torch.tensor(K, dtype=torch.int), "threshold": draw.positive()}
    weights = folder / "model.safetensors"
    write_tensors(weights, tensors)
    write_config(folder / "config.json", {"activation_dim": d, "dict_size": n})
    return Made(folder, weights, folder / "config.json", "activation_dim", optional=frozenset({"k"}))
