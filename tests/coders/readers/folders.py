"""Writes a tiny random coder in every format: ``MAKERS[name](folder)``.

A name is the format as in ``registry.READERS`` and, where a format has several kinds, the kind. Every tensor is random, so that
one that is left out, transposed or mistaken for another changes what is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from stages.coders.readers import saelens as saelens_module
from tests.coders.readers import saelens_folders
from tests.coders.readers.on_disk import D_IN, LATENTS, Draw, K, Made, write_config, write_tensors
from tests.coders.readers.openmoss_folders import llama_scope, llamascopium
from tests.coders.readers.pickle_folders import hypothesaes, plain, qwen_scope
from tests.coders.readers.several_layers_folders import (
    circuit_tracer,
    gemma_scope_2_layer,
    hub_crosscoder,
    hub_mixin,
    llamascopium_clt,
    llamascopium_crosscoder,
)


def sparsify(
    folder: Path, *, seed: int = 0, d: int = D_IN, n: int = LATENTS, dtype: Any = torch.float32, **config: Any
) -> Made:
    draw = Draw(seed, dtype)
    tensors = {"encoder.weight": draw(n, d), "encoder.bias": draw(n), "W_dec": draw(n, d), "b_dec": draw(d)}
    if config.get("skip_connection"):
        tensors["W_skip"] = draw(d, d)
    write_tensors(folder / "sae.safetensors", tensors)
    defaults = {"activation": "topk", "expansion_factor": 2, "normalize_decoder": True, "num_latents": n, "k": K}
    write_config(folder / "cfg.json", {**defaults, "multi_topk": False, "d_in": d, **config})
    return Made(folder, folder / "sae.safetensors", folder / "cfg.json", "d_in", "k")


def dictionary(
    folder: Path,
    *,
    kind: str,
    seed: int = 0,
    d: int = D_IN,
    n: int = LATENTS,
    k: int = K,
    dtype: Any = torch.float32,
    **trainer: Any,
) -> Made:
    draw = Draw(seed, dtype)
    linear = {"encoder.weight": draw(n, d), "decoder.weight": draw(d, n)}
    matrices = {"W_enc": draw(d, n), "b_enc": draw(n), "W_dec": draw(n, d), "b_dec": draw(d)}
    topk = {"k": torch.tensor(k, dtype=torch.int), "threshold": draw.positive()}
    tensors = {
        "AutoEncoder": {**linear, "encoder.bias": draw(n), "bias": draw(d)},
        "AutoEncoderNew": {**linear, "encoder.bias": draw(n), "decoder.bias": draw(d)},
        "GatedAutoEncoder": {
            **linear,
            "decoder_bias": draw(d),
            "r_mag": draw(n),
            "gate_bias": draw(n),
            "mag_bias": draw(n),
        },
        "AutoEncoderTopK": {**linear, "encoder.bias": draw(n), "b_dec": draw(d), **topk},
        "BatchTopKSAE": {**linear, "encoder.bias": draw(n), "b_dec": draw(d), **topk},
        "MatryoshkaBatchTopKSAE": {**matrices, **topk, "group_sizes": torch.tensor([n // 4, n - n // 4])},
        "JumpReluAutoEncoder": {**matrices, "threshold": draw(n)},
    }[kind]
    write_tensors(folder / "ae.pt", tensors)
    own = {"k": k} if "k" in tensors else {}
    config = {
        "dict_class": kind,
        "activation_dim": d,
        "dict_size": n,
        "layer": 3,
        "lm_name": "some/model",
        **own,
        **trainer,
    }
    write_config(folder / "config.json", {"trainer": config, "buffer": {"d_submodule": d, "io": "out", "ctx_len": 128}})
    optional = {
        "AutoEncoderTopK": {"k", "threshold"},
        "BatchTopKSAE": {"k"},
        "MatryoshkaBatchTopKSAE": {"k", "group_sizes"},
    }
    return Made(
        folder,
        folder / "ae.pt",
        folder / "config.json",
        "trainer.activation_dim",
        "trainer.k" if "k" in tensors else None,
        frozenset(optional.get(kind, ())),
        frozenset({"threshold"} if kind == "AutoEncoderTopK" else ()),
    )


def openai(
    folder: Path,
    *,
    activation: str | None = "TopK",
    after: str = "ReLU",
    seed: int = 0,
    d: int = D_IN,
    n: int = LATENTS,
    k: int = K,
    dtype: Any = torch.float32,
) -> Made:
    draw = Draw(seed, dtype)
    tensors: dict[str, Any] = {
        "pre_bias": draw(d),
        "encoder.weight": draw(n, d),
        "latent_bias": draw(n),
        "decoder.weight": draw(d, n),
        "stats_last_nonzero": torch.zeros(n, dtype=torch.long),
        "latents_activation_frequency": torch.ones(n),
        "latents_mean_square": torch.zeros(n),
    }
    if activation is not None:
        tensors |= {"activation": activation, "activation_state_dict": {}}
    if activation == "TopK":
        tensors["activation_state_dict"] = {"k": k, "postact_fn": after}
    file = folder / "resid_post_mlp_v5_32k" / "autoencoders" / "6.pt"
    write_tensors(file, tensors)
    statistics = {"stats_last_nonzero", "latents_activation_frequency", "latents_mean_square"}
    # Without the activation, a file is one of those that have a ReLU.
    return Made(
        file,
        file,
        optional=frozenset(statistics | {"activation", "activation_state_dict"}),
        unread=frozenset(statistics),
    )


def saelens(folder: Path, *, architecture: str, seed: int = 0, **config: Any) -> Made:
    config = saelens_folders.config_of(architecture, **config)
    saelens_folders.write(folder, config, saelens_folders.tensors_of(config, seed))
    return Made(
        folder,
        folder / saelens_module.WEIGHTS,
        folder / saelens_module.CONFIG,
        "d_in",
        "k" if architecture == "topk" else None,
    )


def saelens_old(folder: Path, *, topk: bool = False, seed: int = 0) -> Made:
    modern = saelens_folders.config_of("topk" if topk else "standard")
    config = {
        "architecture": "standard",
        "d_in": D_IN,
        "d_sae": LATENTS,
        "model_name": "pythia-70m-deduped",
        "hook_name": "blocks.2.hook_resid_post",
        "hook_layer": 2,
        "activation_fn_str": "topk" if topk else "relu",
        "activation_fn_kwargs": {"k": K} if topk else {},
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "dtype": "float32",
        "sae_lens_training_version": "3.22.0",
    }
    saelens_folders.write(folder, config, saelens_folders.tensors_of(modern, seed))
    k = "activation_fn_kwargs.k" if topk else None
    return Made(folder, folder / saelens_module.WEIGHTS, folder / saelens_module.CONFIG, "d_in", k)


def gemma_scope(folder: Path, *, seed: int = 0, d: int = D_IN, n: int = LATENTS) -> Made:
    draw = Draw(seed)
    arrays = {
        "W_enc": draw(d, n),
        "W_dec": draw(n, d),
        "b_enc": draw(n),
        "b_dec": draw(d),
        "threshold": draw.positive(n),
    }
    place = folder / "gemma-scope-2b-pt-res" / "layer_20" / "width_16k" / "average_l0_71"
    write_tensors(place / "params.npz", arrays)
    return Made(place, place / "params.npz")


def gemma_scope_2(folder: Path, *, skip: bool = False, seed: int = 0, d: int = D_IN, n: int = LATENTS) -> Made:
    draw = Draw(seed)
    tensors = {
        "w_enc": draw(d, n),
        "w_dec": draw(n, d),
        "b_enc": draw(n),
        "b_dec": draw(d),
        "threshold": draw.positive(n),
    }
    if skip:
        tensors["affine_skip_connection"] = draw(d, d)
    write_tensors(folder / "params.safetensors", tensors)
    config = {
        "architecture": "jump_relu",
        "model_name": "google/gemma-3-4b-pt",
        "hf_hook_point_in": "model.layers.17.output",
        "hf_hook_point_out": "model.layers.17.output",
        "width": n,
        "l0": 60,
        "affine_connection": skip,
        "type": "sae",
    }
    write_config(folder / "config.json", config)
    return Made(folder, folder / "params.safetensors", folder / "config.json", "width")


CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
)

MAKERS: dict[str, Callable[[Path], Made]] = {
    "sparsify": sparsify,
    "sparsify transcoder": partial(sparsify, transcode=True, skip_connection=True),
    "sparsify groupmax": partial(sparsify, activation="groupmax", k=4),
    **{f"dictionary_learning {kind}": partial(dictionary, kind=kind) for kind in CLASSES},
    "openai TopK": openai,
    "openai ReLU": partial(openai, activation=None),
    "llama_scope": llama_scope,
    "llama_scope topk": partial(llama_scope, act_fn="topk"),
    "llamascopium cross-layer": llamascopium_clt,
    "llamascopium cross-layer topk": partial(llamascopium_clt, act_fn="topk"),
    "llamascopium crosscoder": llamascopium_crosscoder,
    "llamascopium crosscoder relu": partial(llamascopium_crosscoder, act_fn="relu"),
    "llamascopium jumprelu": llamascopium,
    "llamascopium topk": partial(llamascopium, act_fn="topk"),
    "llamascopium R1": partial(llamascopium, names_of_2025=True),
    "circuit_tracer decoders": partial(circuit_tracer, threshold=True, cross_layer=True, decoders=True),
    "circuit_tracer relu": partial(circuit_tracer, activation="relu"),
    "circuit_tracer jumprelu": partial(circuit_tracer, threshold=True, skip=True),
    "circuit_tracer topk": partial(circuit_tracer, activation="topk"),
    "circuit_tracer cross-layer": partial(circuit_tracer, threshold=True, cross_layer=True),
    "plain goodfire": partial(plain, kind="goodfire"),
    "plain qresearch": partial(plain, kind="qresearch"),
    "plain attention": partial(plain, kind="attention"),
    "plain transcoder": partial(plain, kind="transcoder"),
    "qwen_scope": qwen_scope,
    "hypothesaes": hypothesaes,
    "hypothesaes batch": partial(hypothesaes, batch=True),
    "hub_mixin crosscoder": hub_crosscoder,
    "hub_mixin crosscoder batch": partial(hub_crosscoder, batch=True),
    "hub_mixin": hub_mixin,
    "hub_mixin batch": partial(hub_mixin, batch=True),
    **{f"saelens {name}": partial(saelens, architecture=name) for name in saelens_folders.ARCHITECTURES},
    "saelens_old": saelens_old,
    "saelens_old topk": partial(saelens_old, topk=True),
    "gemma_scope": gemma_scope,
    "gemma_scope_2 cross-layer": gemma_scope_2_layer,
    "gemma_scope_2 crosscoder": partial(gemma_scope_2_layer, kind="crosscoder"),
    "gemma_scope_2": gemma_scope_2,
    "gemma_scope_2 skip": partial(gemma_scope_2, skip=True),
}
