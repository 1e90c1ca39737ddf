"""Qwen Scope's coders of Qwen 3 and Qwen 3.5: ``layer{n}.sae.pt``, a file for every layer.

How many latents fire is told by the name of the repository alone, such as ``SAE-Res-Qwen3-1.7B-Base-W32K-L0_50``.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from stages.coders.activations import TopK
from stages.coders.readers import Options, files
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

TAKES = ("k",)
"""What params.yaml may say about these files."""
LAYER = re.compile(r"layer(\d{1,4})\.sae\.pt")
REPOSITORY = re.compile(r"SAE-Res-[^/]+-W\d+K-L0_(\d+)")


def detect(path: Path) -> bool:
    """Whether ``path`` is the file of a layer, or a folder of them."""
    return LAYER.fullmatch(path.name) is not None if path.is_file() else bool(_layers(path))


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the coder of one layer in float32: the k largest of ``x W_encᵀ + b_enc`` that are above 0, of a block's output.

    ``W_enc`` lies as [latents, d_in], ``W_dec`` as [d_in, latents]; nothing is subtracted from the input.

    Raises:
        GlossaError: ``path`` holds many layers, a tensor is missing or of another shape, or nothing says k.
    """
    options.refuse_norm_factor(path)
    input_norm = options.input_norm("none", path)
    weights = path if path.is_file() else _only_layer(path)
    match = LAYER.fullmatch(weights.name)
    assert match is not None  # as every file found here
    tensors = files.read_pickle(weights)
    files.only(tensors, ("W_enc", "W_dec", "b_enc", "b_dec"), weights)
    W_enc = files.matrix(tensors, "W_enc", weights)  # noqa: N806
    n, d_in = W_enc.shape
    W_dec = files.take(tensors, "W_dec", (d_in, n), weights).T.contiguous()  # noqa: N806
    activation = TopK(_k(weights, options, n))
    facts = {"format": "qwen_scope", "k": activation.k, "input_norm": input_norm}
    return SparseCoder(
        W_enc=W_enc,
        b_enc=files.take(tensors, "b_enc", (n,), weights),
        W_dec=W_dec,
        b_dec=files.take(tensors, "b_dec", (d_in,), weights),
        b_pre=torch.zeros(d_in),
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=f"layers.{int(match[1])}",
        published_l0=activation.k,
    )


def _k(weights: Path, options: Options, n: int) -> int:
    found = REPOSITORY.findall(weights.absolute().as_posix())
    named = int(found[-1]) if found else None
    if named is None and options.k is None:
        raise GlossaError(
            f"the files of Qwen Scope don't say how many latents fire, and no folder around {weights} is called like its repository "
            "(SAE-Res-…-L0_50); say k in its entry in params.yaml"
        )
    if None not in (named, options.k) and named != options.k:
        raise GlossaError(
            f"the repository around {weights} says that {named} latents fire, but params.yaml says k: {options.k}; take k out of it"
        )
    return files.whole({"k": named or options.k}, "k", weights, at_most=n)


def _layers(folder: Path) -> list[Path]:
    found = [file for file in folder.glob("layer*.sae.pt") if LAYER.fullmatch(file.name)]
    return sorted(found, key=lambda file: (len(file.name), file.name))


def _only_layer(folder: Path) -> Path:
    layers = _layers(folder)
    if len(layers) != 1:
        names = files.shown(", ".join(file.name for file in layers))
        raise GlossaError(f"expected the coder of one layer, found {len(layers)} in {folder}; point at one of {names}")
    return layers[0]
