"""Tiny SAELens coders on disk, and what they compute, worked out in numpy from the weights as saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

ARCHITECTURES = [
    "standard",
    "topk",
    "jumprelu",
    "gated",
    "transcoder",
    "skip_transcoder",
    "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
]
CHECKPOINTS = ["batchtopk", "matryoshka_batchtopk"]
"""Architectures that are saved so in training alone."""


def config_of(architecture: str, /, **changes: Any) -> dict[str, Any]:
    """A cfg.json as SAELens 6 writes it; a change to None takes a key out."""
    transcoder = "transcoder" in architecture
    metadata = {
        "sae_lens_version": "6.12.1",
        "sae_lens_training_version": "6.12.1",
        "dataset_path": "monology/pile-uncopyrighted",
        "hook_name": "blocks.5.ln2.hook_normalized" if transcoder else "blocks.5.hook_resid_post",
        "hook_name_out": "blocks.5.hook_mlp_out" if transcoder else None,
        "hook_head_index": None,
        "model_class_name": "HookedTransformer",
        "model_name": "gemma-2-2b",
        "model_from_pretrained_kwargs": {},
        "prepend_bos": True,
        "exclude_special_tokens": True,
        "sequence_separator_token": "bos",
        "context_size": 1024,
        "seqpos_slice": [None],
        "neuronpedia_id": None,
    }
    config = {
        "d_in": 8,
        "d_sae": 16,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": not transcoder,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": metadata,
        "architecture": architecture,
        **({"d_out": 6} if transcoder else {}),
        **({"k": 4, "rescale_acts_by_decoder_norm": False} if architecture == "topk" else {}),
        **({"k": 4, "rescale_acts_by_decoder_norm": True} if architecture in CHECKPOINTS else {}),
        **changes,
    }
    return {key: value for key, value in config.items() if value is not None}


def tensors_of(config: dict[str, Any], seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Random weights of the shapes that ``config`` says, whose decoder rows have different norms."""
    generator = np.random.default_rng(seed)
    d_in, d_sae, architecture = config["d_in"], config["d_sae"], config["architecture"]
    d_out = config.get("d_out", d_in)
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_out), "b_dec": (d_out,)}
    if architecture == "gated":
        shapes |= {"b_gate": (d_sae,), "b_mag": (d_sae,), "r_mag": (d_sae,)}
    else:
        shapes["b_enc"] = (d_sae,)
    if architecture in CHECKPOINTS:
        shapes["topk_threshold"] = ()
    if "jumprelu" in architecture:
        shapes["threshold"] = (d_sae,)
    if "skip" in architecture:
        shapes["W_skip"] = (d_out, d_in)
    arrays: dict[str, Any] = {name: generator.normal(size=shape) / 2 for name, shape in shapes.items()}
    if architecture in CHECKPOINTS:
        arrays["topk_threshold"] = np.abs(arrays["topk_threshold"])
    arrays["W_dec"] *= generator.uniform(0.2, 3, size=(d_sae, 1))
    return {name: torch.tensor(value).to(dtype) for name, value in arrays.items()}


def write(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder


def by_hand(
    config: dict[str, Any], tensors: dict[str, torch.Tensor], x: np.ndarray, factor: float = 1, centre: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The latents and the reconstruction of ``x`` [inputs, d_in], as SAELens defines them."""
    w = {name: value.double().numpy() for name, value in tensors.items()}
    norm = config.get("normalize_activations", "none")
    mean, std = x.mean(1, keepdims=True), x.std(1, ddof=1, keepdims=True)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    z = x - mean if centre else x
    if norm == "layer_norm":
        z = (x - mean) / (std + 1e-5)
    elif norm == "constant_norm_rescale":
        z = x * np.sqrt(x.shape[1]) / length
    elif norm == "expected_average_only_in":
        z = z * factor
    if config.get("apply_b_dec_to_input", "transcoder" not in config["architecture"]):
        z = z - w["b_dec"]

    kind, h = config["architecture"], z @ w["W_enc"]
    norms = np.ones(len(w["W_dec"]))
    if kind == "gated":
        latents = (h + w["b_gate"] > 0) * np.maximum(z @ (w["W_enc"] * np.exp(w["r_mag"])) + w["b_mag"], 0)
    elif "jumprelu" in kind:
        latents = np.maximum(h + w["b_enc"], 0) * (h + w["b_enc"] > w["threshold"])
    elif kind in CHECKPOINTS:
        if config["rescale_acts_by_decoder_norm"]:
            norms = np.linalg.norm(w["W_dec"], axis=1) / factor
        h = (h + w["b_enc"]) * norms
        threshold = w["topk_threshold"] / (factor if config["rescale_acts_by_decoder_norm"] else 1)
        latents = np.maximum(h, 0) * (h > threshold)
    elif kind == "topk":
        if config.get("rescale_acts_by_decoder_norm"):
            norms = np.linalg.norm(w["W_dec"], axis=1) / factor  # of the decoder that maps to unscaled outputs
        h = (h + w["b_enc"]) * norms
        smallest = np.sort(h, axis=1)[:, -config["k"]]
        latents = np.maximum(h, 0) * (h >= smallest[:, None])
    else:
        latents = np.maximum(h + w["b_enc"], 0)

    y = (latents / norms) @ w["W_dec"] + w["b_dec"]
    if norm == "expected_average_only_in":
        y = y / factor
    elif norm == "layer_norm":
        y = y * std + mean
    elif norm == "constant_norm_rescale":
        y = y * length / np.sqrt(x.shape[1])
    if "skip" in kind:
        y = y + x @ w["W_skip"].T
    return latents, y
