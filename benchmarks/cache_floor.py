"""What caching is measured against: a model of a known shape, random coders, tokens, and the bare work on them.

It needs torch, transformers and NumPy alone, so that the peer can run it in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

CONTEXT = 256
BATCH_TOKENS = 8192
K = 32
SEPARATOR = 0
"""The token between documents."""
DOCUMENT = 500
"""Tokens of a document, on average."""


@dataclass(frozen=True)
class Shape:
    """A GPT-NeoX of the shape of a Pythia."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int = 50_304


SHAPES = {"pythia-14m": Shape(128, 6, 4, 512), "pythia-160m": Shape(768, 12, 12, 3072)}


class Weights(NamedTuple):
    """A random TopK coder."""

    encoder: Tensor
    """[latents, hidden]."""
    bias: Tensor
    """[latents]."""


class Work(NamedTuple):
    """One configuration of the benchmark."""

    shape: str
    latents: int
    layers: tuple[int, ...]
    """The residual stream behind them is read."""


def model_of(shape: str) -> Any:
    """Returns the base model (no head), random but the same every time."""
    from transformers import GPTNeoXConfig, GPTNeoXModel

    s = SHAPES[shape]
    config = GPTNeoXConfig(
        vocab_size=s.vocabulary,
        hidden_size=s.hidden,
        num_hidden_layers=s.layers,
        num_attention_heads=s.heads,
        intermediate_size=s.intermediate,
        max_position_embeddings=2048,
        use_parallel_residual=True,
    )
    torch.manual_seed(0)
    return GPTNeoXModel(config).eval().requires_grad_(requires_grad=False)


def weights_of(work: Work) -> list[Weights]:
    """Returns a coder for every layer that is read."""
    width = SHAPES[work.shape].hidden
    generator = torch.Generator().manual_seed(1)
    return [
        Weights(torch.randn(work.latents, width, generator=generator) / width**0.5, torch.zeros(work.latents))
        for _ in work.layers
    ]


def zipf_tokens(n_tokens: int, vocabulary: int) -> NDArray[np.int32]:
    """Returns [rows, CONTEXT] ids whose frequencies fall like natural ones, with separators between documents."""
    generator = np.random.default_rng(0)
    rows = -(-n_tokens // CONTEXT)
    share = 1 / (np.arange(1, vocabulary) + 2.7)
    ids = 1 + np.searchsorted(np.cumsum(share / share.sum()), generator.random((rows, CONTEXT)))
    ids[generator.random((rows, CONTEXT)) < 1 / DOCUMENT] = SEPARATOR
    return ids.clip(0, vocabulary - 1).astype(np.int32)


class _Reached(Exception):  # noqa: N818 - control flow
    """The last layer that is read has run."""


def hidden(base: nn.Module, layers: Sequence[int], ids: Tensor) -> list[Tensor]:
    """Returns the residual stream [rows, length, hidden] behind each of ``layers``; nothing behind the last one runs."""
    read: dict[int, Tensor] = {}

    def listen(layer: int) -> Any:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            read[layer] = output[0] if isinstance(output, tuple) else output
            if len(read) == len(layers):
                raise _Reached

        return base.get_submodule(f"layers.{layer}").register_forward_hook(note)

    handles = [listen(layer) for layer in layers]
    try:
        base(input_ids=ids, use_cache=False)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return [read[layer] for layer in layers]


def encode(x: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """Returns values and latents, [inputs, K] each."""
    found = torch.addmm(weights.bias, x, weights.encoder.T).relu_().topk(K, dim=-1, sorted=False)
    return found.values, found.indices


def floor(base: nn.Module, layers: Sequence[int], coders: Sequence[Weights], tokens: NDArray[np.int32]) -> None:
    """The forward pass as far as the last layer that is read and the plain encoding, of ``tokens``; nothing is kept."""
    with torch.inference_mode():
        for ids in batches(tokens):
            for x, weights in zip(hidden(base, layers, ids), coders, strict=True):
                encode(x.flatten(0, 1), weights)


def batches(tokens: NDArray[np.int32]) -> Iterator[Tensor]:
    rows = BATCH_TOKENS // CONTEXT
    for start in range(0, len(tokens), rows):
        yield torch.from_numpy(tokens[start : start + rows].astype(np.int64))


def bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in files_below(folder))


def files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def peak_mb() -> float:
    """The largest resident memory that this process has had, in MB (10**6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would also count what the parent had when this process was started
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS
