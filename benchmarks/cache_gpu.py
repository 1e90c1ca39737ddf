"""Large models on a GPU, with random weights: capturing against the floor and against what the chip can do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from cache_floor import CONTEXT, K, hidden
from cache_throughput import MEMORY, Model, merge_all, write_tokens

from stages.coders.activations import JumpRelu, TopK
from stages.coders.sparse_coder import SparseCoder
from stages.latents.capture import Capture, ranges, target
from stages.machine.scratch import Scratch
from stages.subject.load import Subject

ACTIVE = 64
"""Latents a token, about, of a JumpReLU coder."""


class Case(NamedTuple):
    """A model's shape and a coder's."""

    name: str
    family: str
    config: dict[str, Any]
    layer: int
    latents: int
    jump: bool


GEMMA = {"hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256_000}  # fmt: skip
LLAMA = {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "rms_norm_eps": 1e-5}  # fmt: skip
CASES = [
    Case("Gemma-2-2B, 16k JumpReLU", "gemma2", GEMMA, 12, 16_384, jump=True),
    Case("Gemma-2-2B, 65k JumpReLU", "gemma2", GEMMA, 12, 65_536, jump=True),
    Case("Llama-3.1-8B, 131k TopK", "llama", LLAMA, 16, 131_072, jump=False),
]


class Rates(NamedTuple):
    """What was measured."""

    floor: float
    """Tokens per second."""
    ours: float
    flops: float
    """Floating-point operations a token: the layers that run, and the coder."""


def measure(case: Case, n_tokens: int, folder: Path, device: torch.device) -> Rates:
    """Runs the floor and ours in turn over every range, in bfloat16, and merges."""
    base = _model(case, device)
    subject = Subject(Model(base), case.name, {"sha256": case.name}, device)
    hookpoint = f"layers.{case.layer}"
    tokens = write_tokens(folder / "tokens", n_tokens, case.config["vocab_size"])

    def read(first: int, end: int) -> torch.Tensor:
        ids = torch.from_numpy(tokens.matrix[first:end].astype("int64")).to(device)
        return hidden(base, [case.layer], ids)[0].flatten(0, 1)

    with torch.inference_mode():
        coder = _coder(case, read(0, 8))
    own = target("one", coder, hookpoint, 23, subject, tokens, Scratch(str(folder / "scratch")))
    capture = Capture(subject, [own], tokens, None, MEMORY)
    taken = {"floor": 0.0, "ours": 0.0}
    capture.run(0, min(64, tokens.rows), ["one"])  # warms up and sizes the batch
    batch = capture.size.rows
    for first, end in ranges(tokens.rows, CONTEXT):
        _synchronize(device)
        start = time.perf_counter()
        with torch.inference_mode():
            for row in range(first, end, batch):
                _encode(coder, read(row, min(row + batch, end)), capture.cells)
        _synchronize(device)
        middle = time.perf_counter()
        capture.run(first, end, ["one"])
        taken["floor"] += middle - start
        taken["ours"] += time.perf_counter() - middle
    start = time.perf_counter()
    capture.close()
    merge_all([own], tokens.rows, folder)
    taken["ours"] += time.perf_counter() - start
    layers = list(base.get_submodule("layers").children())[: case.layer + 1]
    run = sum(weights.numel() for layer in layers for weights in layer.parameters())
    attention = CONTEXT * case.config["hidden_size"] * len(layers)  # half of the context on average, scores and values
    flops = 2 * (run + attention + coder.d_in * coder.n_latents)
    n = tokens.matrix.size
    return Rates(n / taken["floor"], n / taken["ours"], flops)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _model(case: Case, device: torch.device) -> Any:
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(case.family, **case.config)
    torch.manual_seed(0)
    with device:
        return AutoModel.from_config(config, dtype=torch.bfloat16).eval().requires_grad_(requires_grad=False)


def _coder(case: Case, x: torch.Tensor) -> SparseCoder:
    """A random coder; the threshold of a JumpReLU is such that about ACTIVE latents fire on ``x``."""
    width = x.shape[1]
    encoder = (torch.randn(case.latents, width, device=x.device) / width**0.5).to(x.dtype)
    zeros, bias = torch.zeros(width, device=x.device, dtype=x.dtype), torch.zeros(case.latents, device=x.device, dtype=x.dtype)  # fmt: skip
    activation: TopK | JumpRelu = TopK(K)
    if case.jump:
        active = (x @ encoder.T).float().topk(ACTIVE + 1, dim=1).values[:, -1].median()
        activation = JumpRelu(torch.full_like(bias, float(active)))
    return SparseCoder(encoder, bias, None, zeros, zeros, activation, "benchmark", {"sha256": case.name})


def _encode(coder: SparseCoder, x: torch.Tensor, cells: int) -> None:
    """The plain encoding, in as large blocks as ours."""
    assert coder.W_enc is not None
    for block in x.split(max(1, cells // coder.n_latents)):
        h = torch.addmm(coder.b_enc, block, coder.W_enc.T).relu_()
        if isinstance(coder.activation, TopK):
            h.topk(K, dim=1, sorted=False)
        elif isinstance(coder.activation, JumpRelu):
            h *= h > coder.activation.threshold
