"""SAEs and transcoders as EleutherAI's sparsify saves them: ``cfg.json`` and ``sae.safetensors``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stages.coders.activations import GroupMax, TopK
from stages.coders.readers import Options, files
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError

CONFIG = "cfg.json"
WEIGHTS = "sae.safetensors"
TENSORS = {"encoder.weight", "encoder.bias", "W_dec", "b_dec"}

MODULE = re.compile(r"([a-z_]+\.)*((layers|h|blocks)\.\d+(\.[A-Za-z_]\w*)*|embed_tokens|embed_in|wte)")
"""What a folder is called that is named after a module, as sparsify does."""


def detect(path: Path) -> bool:
    """Whether ``path`` is a folder in this format."""
    return (path / WEIGHTS).is_file() and (path / CONFIG).is_file()


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the coder in float32.

    ``W_dec`` lies as [latents, d_out], like the encoder. ``b_dec`` is subtracted from the input unless the coder is a
    transcoder; one trained before the config had the key ``transcode`` did subtract it, though it reads a module's input.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or its activations can't be told from it.
    """
    options.refuse_norm_factor(path)
    input_norm = options.input_norm("none", path)
    config, weights = files.read_json(path / CONFIG), path / WEIGHTS
    if files.flag(config, "signed", path / CONFIG):
        raise GlossaError(
            f"the coder in {path} has signed: true, which keeps the largest absolute values without a ReLU, and no "
            "published coder does; train it with the current sparsify"
        )
    transcode = files.flag(config, "transcode", path / CONFIG)
    skip = files.flag(config, "skip_connection", path / CONFIG)
    d_in = files.whole(config, "d_in", path / CONFIG)
    n = _latents(config, d_in, path / CONFIG)
    activation = _activation(config, n, path / CONFIG)

    tensors = files.read_safetensors(weights)
    files.only(tensors, TENSORS | ({"W_skip"} if skip else set()), weights)
    b_dec = files.take(tensors, "b_dec", (d_in,), weights)
    facts = {
        "format": "sparsify",
        "activation": type(activation).__name__.lower(),
        "k": activation.k,
        "transcode": transcode,
        "skip_connection": skip,
        "input_norm": input_norm,
    }
    return SparseCoder(
        W_enc=files.take(tensors, "encoder.weight", (n, d_in), weights),
        b_enc=files.take(tensors, "encoder.bias", (n,), weights),
        W_dec=files.take(tensors, "W_dec", (n, d_in), weights),
        b_dec=b_dec,
        b_pre=b_dec.new_zeros(d_in) if transcode else b_dec,
        activation=activation,
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        W_skip=files.take(tensors, "W_skip", (d_in, d_in), weights) if skip else None,
        hookpoint=_hookpoint(path, transcode if "transcode" in config else skip or _is_transcoder_run(path)),
        published_l0=float(activation.k),
    )


def _latents(config: dict[str, Any], d_in: int, where: Path) -> int:
    """The number of latents; 0, or none, stands for a multiple of ``d_in``."""
    if config.get("num_latents") not in (None, 0):
        return files.whole(config, "num_latents", where)
    return d_in * files.whole({"expansion_factor": 32, **config}, "expansion_factor", where)


def _activation(config: dict[str, Any], n: int, where: Path) -> TopK | GroupMax:
    k = files.whole(config, "k", where, at_most=n)
    match config.get("activation", "topk"):
        case "topk":
            return TopK(k)
        case "groupmax":
            if n % k:
                raise GlossaError(f"expected groupmax with a k that divides the {n} latents in {where}, found {k}")
            return GroupMax(k)
        case other:
            raise GlossaError(f"expected the activation topk or groupmax in {where}, found {files.shown(other)}")


def _module(path: Path) -> Path:
    """The folder that may be named after a module: that of the coder, or the one around several seeds of it."""
    folder = path.absolute()
    return folder.parent if re.fullmatch(r"seed\d+", folder.name) else folder


def _hookpoint(path: Path, reads_input: bool) -> str | None:
    name = _module(path).name
    if not MODULE.fullmatch(name):
        return None
    return f"{name}.input" if reads_input else name


def _is_transcoder_run(path: Path) -> bool:
    """Whether the config of the run around a coder without the key ``transcode`` says that it is a transcoder."""
    run = _module(path).parent / "config.json"
    return run.is_file() and files.read_json(run).get("transcode") is True
