"""Sparse autoencoders as EleutherAI's sparsify saves them: ``cfg.json`` and ``sae.safetensors``."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.outputs import file_sha256, fingerprint

WEIGHTS = "sae.safetensors"


def detect(folder: Path) -> bool:
    """Whether ``folder`` is in this format."""
    return (folder / WEIGHTS).is_file() and (folder / "cfg.json").is_file()


def read(folder: Path) -> SparseCoder:
    """Reads the coder in float32.

    sparsify subtracts ``b_dec`` from the input before encoding, applies ReLU and keeps the k largest; ``W_dec`` lies as
    [latents, d_in], like the encoder.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says.
    """
    try:
        config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    except ValueError:
        raise GlossaError(
            f"expected JSON in {folder / 'cfg.json'}, but it can't be read; fetch the coder again"
        ) from None
    if not isinstance(config, dict) or not isinstance(config.get("k"), int) or not isinstance(config.get("d_in"), int):
        raise GlossaError(f"expected whole numbers k and d_in in {folder / 'cfg.json'}; is it a sparsify coder?")
    for key in ("transcode", "skip_connection", "signed"):
        if config.get(key):
            raise GlossaError(f"the coder in {folder} has {key}: true, which this version can't read; use a plain SAE")
    if config.get("activation", "topk") != "topk":
        raise GlossaError(f"the coder in {folder} has the activation {config['activation']}; only topk can be read")
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise GlossaError(f"expected safetensors in {folder / WEIGHTS}, but it can't be read: {error}") from None

    k, d_in = config["k"], config["d_in"]
    n_latents = config.get("num_latents") or d_in * config.get("expansion_factor", 32)
    shapes = {
        "encoder.weight": (n_latents, d_in),
        "encoder.bias": (n_latents,),
        "W_dec": (n_latents, d_in),
        "b_dec": (d_in,),
    }
    for name, shape in shapes.items():
        if name not in tensors:
            raise GlossaError(f"expected a tensor {name} in {folder / WEIGHTS}, found {', '.join(sorted(tensors))}")
        if tuple(tensors[name].shape) != shape:
            raise GlossaError(
                f"expected {name} of shape {list(shape)} in {folder / WEIGHTS} as its cfg.json says, "
                f"found {list(tensors[name].shape)}"
            )
        if not torch.isfinite(tensors[name]).all():
            raise GlossaError(f"expected finite weights in {folder / WEIGHTS}, but {name} holds NaN or infinity")
    if not 1 <= k <= n_latents:
        raise GlossaError(f"expected k between 1 and the {n_latents} latents in {folder / 'cfg.json'}, found {k}")
    weights = {name: tensors[name].float() for name in shapes}
    facts = {"format": "sparsify", "k": k, "weights_sha256": file_sha256(folder / WEIGHTS)}
    return SparseCoder(
        W_enc=weights["encoder.weight"],
        b_enc=weights["encoder.bias"],
        W_dec=weights["W_dec"],
        b_dec=weights["b_dec"],
        b_pre=weights["b_dec"],
        k=k,
        source=str(folder),
        identity={**facts, "sha256": fingerprint(facts)},
    )
