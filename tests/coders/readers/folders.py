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
from tests.coders.readers.on_disk import Draw, Made, write_config, write_tensors

D_IN, LATENTS, K = 8, 16, 3


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


def circuit_tracer(
    folder: Path,
    *,
    activation: str | None = None,
    threshold: bool = False,
    skip: bool = False,
    cross_layer: bool = False,
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


def plain(
    folder: Path, *, kind: str, seed: int = 0, d: int = D_IN, n: int = LATENTS, dtype: Any = torch.float32
) -> Made:
    draw = Draw(seed, dtype)
    if kind == "attention":
        weights, config = folder / "gpt2-small_L5_Hcat_z.pt", folder / "gpt2-small_L5_Hcat_z_cfg.json"
        write_tensors(weights, {"W_enc": draw(d, n), "b_enc": draw(n), "W_dec": draw(n, d), "b_dec": draw(d)})
        write_config(config, {"act_size": d, "dict_size": n, "act_name": "blocks.5.attn.hook_z"})
        return Made(weights, weights, config, "act_size")
    if kind == "transcoder":
        weights = folder / f"final_sparse_autoencoder_gpt2-small_blocks.5.ln2.hook_normalized_{n}.pt"
        tensors = {"W_enc": draw(d, n), "b_enc": draw(n), "W_dec": draw(n, d), "b_dec": draw(d), "b_dec_out": draw(d)}
        write_tensors(weights, tensors)
        return Made(weights, weights)
    enc, dec = ("encoder_linear", "decoder_linear") if kind == "goodfire" else ("encoder", "decoder")
    name = {"goodfire": "Llama-3.1-8B-Instruct-SAE-l19.pth", "qresearch": "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt"}
    weights = folder / name[kind]
    tensors = {f"{enc}.weight": draw(n, d), f"{enc}.bias": draw(n), f"{dec}.weight": draw(d, n), f"{dec}.bias": draw(d)}
    write_tensors(weights, tensors)
    return Made(weights, weights)


def qwen_scope(
    folder: Path, *, seed: int = 0, d: int = D_IN, n: int = LATENTS, k: int = K, dtype: Any = torch.float32
) -> Made:
    draw = Draw(seed, dtype)
    weights = folder / f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{k}" / "layer4.sae.pt"
    write_tensors(weights, {"W_enc": draw(n, d), "b_enc": draw(n), "W_dec": draw(d, n), "b_dec": draw(d)})
    return Made(weights, weights)


def hypothesaes(
    folder: Path,
    *,
    batch: bool = False,
    seed: int = 0,
    d: int = D_IN,
    n: int = LATENTS,
    k: int = K,
    dtype: Any = torch.float32,
) -> Made:
    draw = Draw(seed, dtype)
    tensors = {
        "encoder.weight": draw(n, d),
        "decoder.weight": draw(d, n),
        "input_bias": draw(d),
        "neuron_bias": draw(n),
    }
    tensors["threshold"] = draw.positive()
    config = {"input_dim": d, "m_total_neurons": n, "k_active_neurons": k, "aux_k": 6, "use_batch_topk": batch}
    weights = folder / "SAE_M=16_K=3.pt"
    weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"config": config, "state_dict": tensors}, weights)
    spare = frozenset() if batch else frozenset({"threshold"})
    return Made(weights, weights, optional=spare, unread=spare)


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
    "llamascopium jumprelu": llamascopium,
    "llamascopium topk": partial(llamascopium, act_fn="topk"),
    "llamascopium R1": partial(llamascopium, names_of_2025=True),
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
    **{f"saelens {name}": partial(saelens, architecture=name) for name in saelens_folders.ARCHITECTURES},
    "saelens_old": saelens_old,
    "saelens_old topk": partial(saelens_old, topk=True),
    "gemma_scope": gemma_scope,
    "gemma_scope_2": gemma_scope_2,
    "gemma_scope_2 skip": partial(gemma_scope_2, skip=True),
}
