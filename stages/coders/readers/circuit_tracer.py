"""Transcoders in the files of circuit-tracer: ``config.yaml`` and, for every layer, ``layer_{i}.safetensors``.

Of a cross-layer transcoder (``W_enc_{i}.safetensors``) a layer is read: its encoder and, where ``W_dec_{i}.safetensors`` lies beside it,
what it writes to each layer from its own on. The Qwen 3 transcoders may have a ``wandb-config.yaml`` instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import JumpRelu, Relu, TopK
from stages.coders.readers import Options, files, stated
from stages.coders.sparse_coder import SparseCoder
from stages.coders.writes import Write, shape_of
from stages.errors import GlossaError
from stages.outputs import file_sha256

CONFIG = "config.yaml"
WANDB = ("wandb-config.yaml", "wanb-config.yaml")  # the second is what some repositories call it
QWEN = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}
CRV = "crv-8b-instruct-transcoders"
LAYER = re.compile(r"(layer|W_enc)_(\d{1,4})\.safetensors")


def detect(path: Path) -> bool:
    """Whether ``path`` is the file of a layer, or a folder of them."""
    if path.is_file():
        return LAYER.fullmatch(path.name) is not None
    return any((path / name).is_file() for name in (CONFIG, *WANDB)) and bool(_layers(path) or _elsewhere(path))


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the transcoder of one layer in float32.

    ``W_enc`` and ``W_dec`` both lie as [latents, d_model]; nothing is subtracted from the input. As in circuit-tracer, a TopK
    transcoder keeps the k largest pre-activations as they are, with no ReLU.

    Raises:
        GlossaError: ``path`` holds many layers, or a file, a key or a shape is not what the format says.
    """
    options.refuse_norm_factor(path)
    input_norm = options.input_norm("none", path)
    weights = path if path.is_file() else _only_layer(path)
    match = LAYER.fullmatch(weights.name)
    assert match is not None  # as every file found here
    cross_layer, layer = match[1] == "W_enc", match[2]
    config = _config(weights.parent)
    tensors = files.read_safetensors(weights)
    if cross_layer:
        tensors = {re.sub(f"_{layer}$", "", name): value for name, value in tensors.items()}
    threshold = "threshold" if cross_layer else "activation_function.threshold"
    others = set() if cross_layer else {"W_dec", "W_skip", "k"}
    files.only(tensors, {"W_enc", "b_enc", "b_dec", threshold} | others, weights)
    W_enc = files.matrix(tensors, "W_enc", weights)  # noqa: N806
    n, d_in = W_enc.shape
    activation = _activation(config, tensors, threshold, n, weights)
    k = activation.k if isinstance(activation, TopK) else None
    writes = _writes(weights, int(layer), config, (n, d_in)) if cross_layer else ()
    facts = {
        "format": "circuit_tracer",
        "activation": type(activation).__name__.lower(),
        "k": k,
        "signed": activation.signed,
        "cross_layer": cross_layer,
        "input_norm": input_norm,
        **({"decoders_sha256": file_sha256(writes[0].file)} if writes else {}),
    }
    site, target = files.text(config, "feature_input_hook"), files.text(config, "feature_output_hook")
    return SparseCoder(
        W_enc=W_enc,
        b_enc=files.take(tensors, "b_enc", (n,), weights),
        W_dec=None if cross_layer else files.take(tensors, "W_dec", (n, d_in), weights),
        b_dec=files.take(tensors, "b_dec", (d_in,), weights),
        b_pre=torch.zeros(d_in),
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        W_skip=files.take(tensors, "W_skip", (d_in, d_in), weights) if "W_skip" in tensors else None,
        input_norm=input_norm,
        hookpoint=f"blocks.{int(layer)}.{site}" if site else None,
        reconstructs=f"blocks.{int(layer)}.{target}" if target else None,
        published_l0=k,
        writes=writes,
    )


def _writes(weights: Path, layer: int, config: Mapping[str, Any], shape: tuple[int, int]) -> tuple[Write, ...]:
    """What the latents of a layer write to it and to those behind it: ``W_dec_{layer}`` as [latents, layers, d_model]."""
    name, target = f"W_dec_{layer}", files.text(config, "feature_output_hook")
    file = weights.with_name(f"{name}.safetensors")
    if target is None or not file.is_file():
        return ()
    found = shape_of(file, name)
    if found is None or len(found) != 3 or (found[0], found[2]) != shape:
        raise GlossaError(
            f"expected a tensor {name} of shape [{shape[0]}, layers, {shape[1]}] in {file}, found {list(found or ())}; fetch it again"
        )
    return tuple(Write(f"blocks.{layer + at}.{target}", file, name, at, axis=1) for at in range(found[1]))


def _layers(folder: Path) -> list[Path]:
    found = [file for file in folder.glob("*.safetensors") if LAYER.fullmatch(file.name)]
    return sorted(found, key=lambda file: (len(file.name), file.name))


def _elsewhere(folder: Path) -> list[str]:
    """The paths or addresses of layers that the config lists."""
    try:
        listed = files.read_yaml(folder / CONFIG).get("transcoders")
    except GlossaError:
        return []
    return [files.shown(entry) for entry in listed] if isinstance(listed, list) else []


def _only_layer(folder: Path) -> Path:
    layers = _layers(folder)
    if not layers:
        raise GlossaError(
            f"expected the weights of a layer in {folder}, found only a {CONFIG} that lists them elsewhere; point at one of "
            f"{files.shown(', '.join(_elsewhere(folder)))}"
        )
    if len(layers) > 1:
        names = files.shown(", ".join(file.name for file in layers))
        raise GlossaError(
            f"expected the transcoder of one layer, found {len(layers)} in {folder}; point at one of {names}"
        )
    return layers[0]


def _config(folder: Path) -> Mapping[str, Any]:
    """The config of the repository; what Weights & Biases saved says only that it is one of the Qwen 3 transcoders."""
    qwen = any((folder / name).is_file() for name in WANDB)
    if qwen and not (folder / CONFIG).is_file():
        return QWEN
    config = files.read_yaml(folder / CONFIG)
    return {**QWEN, **config} if qwen else config


def _activation(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str, n: int, weights: Path
) -> JumpRelu | Relu | TopK:
    where, kind = weights.parent / CONFIG, config.get("activation")
    if kind not in (None, "relu", "topk", "jumprelu", "jump_relu"):
        raise GlossaError(f"expected the activation relu, topk or jumprelu in {where}, found {files.shown(kind)}")
    if kind in ("relu", "topk") and name in tensors:
        raise GlossaError(f"expected no thresholds in {weights}, since {where} says {kind}, but found {name}")
    if kind == "topk":
        return TopK(_k(config, tensors, n, weights), signed=True)
    if kind is None and name not in tensors:
        stated.refuse_others(weights, {CONFIG: config})
        return Relu()
    if kind == "relu":
        return Relu()
    threshold = files.take(tensors, name, (n,), weights)
    if (threshold < 0).any():
        raise GlossaError(f"expected thresholds of at least 0 in {weights}, found {threshold.min():g}; fetch it again")
    return JumpRelu(threshold)


def _k(config: Mapping[str, Any], tensors: Mapping[str, Tensor], n: int, weights: Path) -> int:
    """k, which the config says; or the file; or, of one repository, circuit-tracer alone."""
    said = dict(config)
    if "k" in tensors and tensors["k"].numel() == 1:
        said.setdefault("k", tensors["k"].item())
    if CRV in weights.absolute().as_posix():
        said.setdefault("k", 128)
    return files.whole(said, "k", weights.parent / CONFIG, at_most=n)
