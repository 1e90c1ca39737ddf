"""Dictionaries of the dictionary_learning library (Marks, Karvonen): ``ae.pt`` and ``config.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.coders.activations import Activation, Gated, JumpRelu, Relu, TopK
from stages.coders.readers import Options, files, fold
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError


@dataclass(frozen=True)
class Layout:
    """What a class of dictionary calls its tensors, and whether it subtracts its decoder's bias from the input."""

    b_enc: str | None
    b_dec: str
    subtracts: bool
    others: tuple[str, ...] = ()

    @property
    def is_linear(self) -> bool:
        """Whether the weights lie as in ``nn.Linear``, [outputs, inputs], or as parameters, [inputs, outputs]."""
        return self.b_enc != "b_enc"

    @property
    def tensors(self) -> set[str]:
        """The names of all its tensors."""
        weights = {"encoder.weight", "decoder.weight"} if self.is_linear else {"W_enc", "W_dec"}
        return {*weights, self.b_dec, *self.others} | ({self.b_enc} if self.b_enc else set())


LAYOUTS = {
    "AutoEncoder": Layout("encoder.bias", "bias", subtracts=True),
    "AutoEncoderNew": Layout("encoder.bias", "decoder.bias", subtracts=False),
    "GatedAutoEncoder": Layout(None, "decoder_bias", True, ("r_mag", "mag_bias", "gate_bias")),
    "AutoEncoderTopK": Layout("encoder.bias", "b_dec", True, ("k", "threshold")),
    "BatchTopKSAE": Layout("encoder.bias", "b_dec", True, ("k", "threshold")),
    "MatryoshkaBatchTopKSAE": Layout("b_enc", "b_dec", True, ("k", "threshold", "group_sizes")),
    "JumpReluAutoEncoder": Layout("b_enc", "b_dec", False, ("threshold",)),
}

SUBMODULE = re.compile(r"(resid_post|resid_out|mlp_out|attn_out)_layer_?(\d+)")
"""How the library's scripts name a submodule, and the folder of what was trained on it."""


def detect(path: Path) -> bool:
    """Whether ``path`` is a folder in this format, or the file of one of its checkpoints."""
    if path.is_dir():
        return (path / "ae.pt").is_file()
    return path.is_file() and re.fullmatch(r"ae(_\d+)?\.pt", path.name) is not None


def read(path: Path, options: Options) -> SparseCoder:
    """Reads the dictionary in float32.

    The unit of a latent is that of the class's own loader: an ``AutoEncoder`` is rescaled to decoder rows of norm 1, all
    other classes stay as they are saved. BatchTopK dictionaries fire above the threshold that training found.

    Raises:
        GlossaError: a file, a key or a shape is not what the format says, or its activations can't be told from it.
    """
    options.refuse_norm_factor(path)
    input_norm = options.input_norm("none", path)
    weights, where = path / "ae.pt" if path.is_dir() else path, _config(path)
    config = files.read_json(where)
    trainer = config.get("trainer")
    if not isinstance(trainer, dict):
        raise GlossaError(
            f"expected an object for trainer in {where}, found {files.shown(trainer)}; fetch the coder again"
        )
    tensors = files.read_pickle(weights)
    if "ae" in tensors:
        raise GlossaError(
            f"{weights} is a backup from the middle of training, whose biases are still in normalised units; "
            "let the training end, or point at one of its checkpoints/ae_*.pt"
        )
    kind = _class(trainer, tensors, where)
    layout = LAYOUTS[kind]
    files.only(tensors, layout.tensors, weights)
    d_in, n = (files.whole(trainer, key, where) for key in ("activation_dim", "dict_size"))
    W_enc, W_dec = _matrices(layout, tensors, d_in, n, weights)  # noqa: N806
    b_enc = files.take(tensors, layout.b_enc, (n,), weights) if layout.b_enc else torch.zeros(n)
    b_dec = files.take(tensors, layout.b_dec, (d_in,), weights)
    if kind == "AutoEncoder":
        W_enc, b_enc, W_dec = fold.unit_decoder(W_enc, b_enc, W_dec, weights)  # noqa: N806
    k = _k(tensors, trainer, n, weights, where) if "k" in layout.others else None
    facts = {
        "format": "dictionary_learning",
        "class": kind,
        "unit_decoder": kind == "AutoEncoder",
        "k": k,
        "input_norm": input_norm,
    }
    return SparseCoder(
        W_enc=W_enc,
        b_enc=b_enc,
        W_dec=W_dec,
        b_dec=b_dec,
        b_pre=b_dec if layout.subtracts else torch.zeros(d_in),
        activation=_activation(kind, tensors, n, k, weights),
        source=str(path),
        identity=files.identity(facts, weights),
        input_norm=input_norm,
        hookpoint=_hookpoint(path, trainer, config.get("buffer")),
        published_l0=files.real(trainer, "target_l0", where) if k is None and trainer.get("target_l0") else k,
    )


def _config(path: Path) -> Path:
    """The config in a folder or, for a file, beside it; checkpoints lie one folder deeper."""
    folder = path if path.is_dir() else path.parent
    return (folder.parent if folder.name == "checkpoints" else folder) / "config.json"


def _class(trainer: Mapping[str, Any], tensors: Mapping[str, Any], where: Path) -> str:
    """The class of the dictionary; configs of early 2024 name none, but most classes are told by their tensors."""
    kind = trainer.get("dict_class")
    if kind is None:
        fitting = [name for name, layout in LAYOUTS.items() if layout.tensors == set(tensors)]
        kind = fitting[0] if len(fitting) == 1 else None
    if not isinstance(kind, str) or kind not in LAYOUTS:
        raise GlossaError(
            f"expected trainer.dict_class in {where} to be one of {', '.join(LAYOUTS)}, found {files.shown(kind)}; "
            "no other class of dictionary can be read"
        )
    return kind


def _matrices(layout: Layout, tensors: Mapping[str, Any], d_in: int, n: int, weights: Path) -> tuple[Tensor, Tensor]:
    """The encoder and the decoder, [latents, d_in] both."""
    if layout.is_linear:
        W_dec = files.take(tensors, "decoder.weight", (d_in, n), weights)  # noqa: N806
        return files.take(tensors, "encoder.weight", (n, d_in), weights), W_dec.T.contiguous()
    W_enc = files.take(tensors, "W_enc", (d_in, n), weights)  # noqa: N806
    return W_enc.T.contiguous(), files.take(tensors, "W_dec", (n, d_in), weights)


def _activation(kind: str, tensors: Mapping[str, Any], n: int, k: int | None, weights: Path) -> Activation:
    if kind == "GatedAutoEncoder":
        return Gated(*(files.take(tensors, name, (n,), weights) for name in ("r_mag", "mag_bias", "gate_bias")))
    if kind == "JumpReluAutoEncoder":
        return JumpRelu(files.take(tensors, "threshold", (n,), weights))
    if k is None:
        return Relu()
    if kind == "AutoEncoderTopK":
        return TopK(k)
    threshold = files.take(tensors, "threshold", (), weights).item()
    if threshold < 0:
        raise GlossaError(
            f"expected a threshold of at least 0 in {weights}, found {threshold:g}: training never set it, and without it "
            f"{kind} would fire at everything positive; train it past threshold_start_step"
        )
    return JumpRelu(torch.full((n,), threshold))


def _k(tensors: Mapping[str, Any], trainer: Mapping[str, Any], n: int, weights: Path, where: Path) -> int:
    """k, of which the file and the config must not disagree; older files leave it to the config."""
    k = files.whole(trainer, "k", where, at_most=n)
    saved = tensors.get("k", k)
    if isinstance(saved, Tensor):
        saved = saved.item() if files.is_plain(saved) and saved.numel() == 1 else f"the shape {list(saved.shape)}"
    if saved != k:
        raise GlossaError(f"expected k = {k} in {weights} as in {where}, found {files.shown(saved)}; fetch both again")
    return k


def _hookpoint(path: Path, trainer: Mapping[str, Any], buffer: Any) -> str | None:
    """Where the dictionary reads: the residual stream after ``layer``, unless a name says otherwise."""
    submodule, layer = files.text(trainer, "submodule_name"), trainer.get("layer")
    found = [SUBMODULE.fullmatch(name) for name in ([submodule] if submodule else path.absolute().parts)]
    if match := next(filter(None, reversed(found)), None):
        return f"blocks.{int(match[2])}.hook_{match[1].replace('resid_out', 'resid_post')}"
    if submodule or type(layer) is not int or not 0 <= layer < 1000:
        return None
    io = buffer.get("io", "out") if isinstance(buffer, dict) else "out"
    return {"out": f"blocks.{layer}.hook_resid_post", "in": f"blocks.{layer}.hook_resid_pre"}.get(str(io))
