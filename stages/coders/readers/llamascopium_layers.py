"""Coders of several layers that OpenMOSS's library saves: cross-layer transcoders and crosscoders.

A cross-layer transcoder holds W_E [layers, d_model, latents], b_E [layers, latents] and, for every layer l, W_D.l [l + 1, latents, d_model],
what latents of each layer up to it write there. A crosscoder holds W_E [places, d_model, latents] and W_D [places, latents, d_model].
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import JumpRelu, Relu, TopK
from stages.coders.readers import Options, crosscoders, files
from stages.coders.sparse_coder import SparseCoder
from stages.coders.writes import Write
from stages.errors import GlossaError
from stages.subject.hookpoints import PLUS

NORMS = "dataset_average_activation_norm."
THRESHOLD = "activation_function.log_jumprelu_threshold"
BATCHED = ("batchtopk", "batchlayertopk")


def cross_layer(path: Path, config: Mapping[str, Any], weights: Path, options: Options) -> SparseCoder:
    """Reads the latents of one layer of a cross-layer transcoder: that whose place ``options.hookpoint`` names.

    Their values are in units of the activations as they are, though training multiplied these by ``√d_model / norm``. With
    ``sparsity_include_decoder_norm`` a latent competes with its value times the norm of all that it writes; TopK keeps the k largest of
    these products in a layer, which then are the values.

    Raises:
        GlossaError: no layer is named, a file, a key or a shape is not what the format says, or what fires depends on other layers
            or tokens.
    """
    where = path / "config.json"
    places = [_hooks(config, key, where) for key in ("hook_points_in", "hook_points_out")]
    if len(places[0]) != len(places[1]):
        raise GlossaError(
            f"expected as many hook_points_out as hook_points_in in {where}, found others; fetch it again"
        )
    layer = _layer(path, places[0], options)
    _refuse_joint(config, path, "layertopk keeps the largest of all layers together")
    tensors, layers = files.read_safetensors(weights), len(places[0])
    d, n = _widths(config, where)
    norms = {name for name in tensors if name.startswith(NORMS)}
    names = {"W_E", "b_E", THRESHOLD, *norms, *(f"{name}.{at}" for at in range(layers) for name in ("W_D", "b_D"))}
    files.only(tensors, names, weights)
    W_enc = files.take(tensors, "W_E", (layers, d, n), weights)[layer].T.contiguous()  # noqa: N806
    b_enc = files.take(tensors, "b_E", (layers, n), weights)[layer]
    s_in = _scale(config, tensors, places[0][layer], d, weights)
    squares = torch.zeros(n)
    for at in range(layer, layers):
        squares += files.take(tensors, f"W_D.{at}", (at + 1, n, d), weights)[layer].square().sum(1)
    weighed = files.flag(config, "sparsity_include_decoder_norm", where, default=True)
    trained, units = squares.sqrt() if weighed else torch.ones(n), None
    activation = _activation(config, tensors, weights, trained, (layers, n), layer)
    b_enc = b_enc / s_in
    if isinstance(activation, JumpRelu):
        activation = JumpRelu(activation.threshold / s_in)
    elif isinstance(activation, TopK) and weighed:
        W_enc, b_enc, units = W_enc * trained[:, None], b_enc * trained, trained.clamp(min=torch.finfo().tiny)  # noqa: N806
    s_out = {at: _scale(config, tensors, places[1][at], d, weights) for at in range(layer, layers)}
    writes = tuple(
        Write(places[1][at], weights, f"W_D.{at}", layer, axis=0, scale=s_in / scale, units=units)
        for at, scale in s_out.items()
    )
    facts = _facts(activation, weighed, s_in) | {"sae_type": "clt", "layer": layer}
    return SparseCoder(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=None,
        b_dec=files.take(tensors, f"b_D.{layer}", (d,), weights) / s_out[layer],
        b_pre=torch.zeros(d),
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=options.input_norm("none", path),
        hookpoint=places[0][layer],
        published_l0=activation.k if isinstance(activation, TopK) else None,
        writes=writes,
    )


def crosscoder(path: Path, config: Mapping[str, Any], weights: Path, options: Options) -> SparseCoder:
    """Reads a crosscoder over places of one model: what it reads stands side by side.

    A latent has one pre-activation, and fires at a place where that times the norm of what it writes there is above its threshold. Here
    it fires where it does so at one place at least, as OpenMOSS's own analysis counts it.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or what fires can't be told from a pre-activation.
    """
    where = path / "config.json"
    places = crosscoders.places(path, _hooks(config, "hook_points", where), options)
    _refuse_joint(config, path, "layertopk is of cross-layer transcoders")
    if not files.flag(config, "sparsity_include_decoder_norm", where, default=True):
        raise GlossaError(
            f"expected sparsity_include_decoder_norm: true in {where}, as all crosscoders of its library have it, found false; fetch it again"
        )
    if config.get("act_fn") == "topk":
        raise GlossaError(
            f"the crosscoder in {path} has act_fn: topk, which keeps others of its latents at each of its places, and no one activation can "
            "say so; convert it to jumprelu"
        )
    tensors, h = files.read_safetensors(weights), len(places)
    d, n = _widths(config, where)
    norms = {name for name in tensors if name.startswith(NORMS)}
    files.only(tensors, {"W_E", "b_E", "W_D", "b_D", THRESHOLD, *norms}, weights)
    named = _hooks(config, "hook_points", where)
    scales = [_scale(config, tensors, hook, d, weights) for hook in named]
    encoder, decoder = (files.take(tensors, *shape, weights) for shape in (("W_E", (h, d, n)), ("W_D", (h, n, d))))
    biases = files.take(tensors, "b_E", (h, n), weights), files.take(tensors, "b_D", (h, d), weights)
    activation = _activation(config, tensors, weights, decoder.norm(dim=2).amax(0), (n,), None)
    in_units = torch.tensor(scales)[:, None, None]
    linear = isinstance(activation, Relu)  # then it fires at all of its places or at none
    facts = _facts(activation, weighed=True, s_in=scales) | {"sae_type": "crosscoder", "places": h}
    return SparseCoder(
        W_enc=crosscoders.side_by_side(encoder * in_units),
        b_enc=biases[0].sum(0),
        W_dec=crosscoders.in_a_row(decoder / in_units) if linear else None,
        b_dec=(biases[1] / in_units[:, 0]).flatten(),
        b_pre=torch.zeros(h * d),
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=crosscoders.no_norm(options, path),
        hookpoint=PLUS.join(places),
        writes=tuple(
            Write(place, weights, "W_D", at, axis=0, scale=1 / scale)
            for at, (place, scale) in enumerate(zip(places, scales, strict=True))
        ),
    )


def _hooks(config: Mapping[str, Any], key: str, where: Path) -> list[str]:
    found = config.get(key)
    if not isinstance(found, list) or not found or not all(isinstance(name, str) for name in found):
        raise GlossaError(
            f"expected a list of hookpoints for {key} in {where}, found {files.shown(found)}; fetch it again"
        )
    return found


def _layer(path: Path, hooks: list[str], options: Options) -> int:
    if options.hookpoint not in hooks:
        raise GlossaError(
            f"the coder in {path} is a cross-layer transcoder of {len(hooks)} layers, of which one is explained; say which by hookpoint in "
            f"its entry in params.yaml: one of {files.shown(', '.join(hooks))}"
        )
    return hooks.index(options.hookpoint)


def _refuse_joint(config: Mapping[str, Any], path: Path, why: str) -> None:
    name = config.get("act_fn")
    if name in BATCHED:
        why = "what fires at a token depends on the others in its batch"
    if name in (*BATCHED, "layertopk"):
        raise GlossaError(f"the coder in {path} has act_fn: {name}, but {why}; convert it to jumprelu")


def _widths(config: Mapping[str, Any], where: Path) -> tuple[int, int]:
    d = files.whole(config, "d_model", where)
    return d, int(d * files.real(config, "expansion_factor", where))


def _scale(config: Mapping[str, Any], tensors: Mapping[str, Any], hook: str, d: int, weights: Path) -> float:
    """By what activations at a place were multiplied in training."""
    norm = config.get("norm_activation", "dataset-wise")
    if norm == "inference":
        return 1.0
    if norm != "dataset-wise":
        raise GlossaError(
            f"the coder in {weights.parent} has norm_activation: {files.shown(norm)}, by which every place is on a scale of its own at every "
            "token; use one with dataset-wise or inference"
        )
    found = {"norm": files.take(tensors, f"{NORMS}{hook}", (), weights).item()}
    return d**0.5 / files.real(found, "norm", weights)


def _activation(
    config: Mapping[str, Any],
    tensors: Mapping[str, Any],
    weights: Path,
    norms: Tensor,
    shape: tuple[int, ...],
    layer: int | None,
) -> JumpRelu | Relu | TopK:
    """The function of the pre-activations, which compete with their products with ``norms`` [latents]."""
    where = weights.with_name("config.json")
    match config.get("act_fn", "relu"):
        case "relu":
            return Relu()
        case "jumprelu":
            threshold = files.take(tensors, THRESHOLD, shape, weights).exp()
            threshold = threshold if layer is None else threshold[layer]
            return JumpRelu(threshold / norms.clamp(min=torch.finfo().tiny))
        case "topk":
            return TopK(files.whole(config, "top_k", where, at_most=shape[-1]))
        case other:
            raise GlossaError(f"expected act_fn relu, jumprelu or topk in {where}, found {files.shown(other)}")


def _facts(activation: JumpRelu | Relu | TopK, weighed: bool, s_in: Any) -> dict[str, Any]:
    return {
        "format": "llamascopium",
        "activation": type(activation).__name__.lower(),
        "k": activation.k if isinstance(activation, TopK) else None,
        "weighed": weighed,
        "s_in": s_in,
    }
