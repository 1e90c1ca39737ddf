"""Matching sparse coders and comparing their explanations: time and memory, beside plain matrix products.

Coders are random directions, and the same in another order with noise, so that matching has an answer to find. Every part runs
in a process of its own, whose peak of memory beyond what it began with is printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import torch

WIDTH = 768
NOISE = 0.5
"""Norm of the noise beside directions of norm 1, unless said: a matched pair's cosine is 1 / sqrt(1 + 0.5²) = 0.89."""

WORDS = (
    "the",
    "a",
    "of",
    "is",
    "and",
    "or",
    "not",
    "function",
    "array",
    "value",
    "returns",
    "number",
    "list",
    "type",
    "model",
)


def planted(latents: int, width: int, noise: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Directions, the same with noise in another order, and that order."""
    from stages.similarity.blocks import unit

    generator = torch.Generator().manual_seed(0)
    a = unit(torch.randn(latents, width, generator=generator))
    order = torch.randperm(latents, generator=generator)
    b = torch.randn(latents, width, generator=generator).mul_(noise / width**0.5).add_(a[order])
    return a, unit(b), order


class Peak:
    """The largest amount of memory held in the block beyond what it began with, in MB."""

    def __enter__(self) -> Peak:
        self._stop = threading.Event()
        self._start = self._most = _resident()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self._most = max(self._most, _resident())

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.extra = (self._most - self._start) / 2**20


def _resident() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


def timed(function: Callable[[], Any]) -> tuple[Any, float, float]:
    """What ``function`` returns, the seconds of wall time and the seconds of processor time it took."""
    begun, used = time.perf_counter(), time.process_time()
    found = function()
    return found, time.perf_counter() - begun, time.process_time() - used


def products(a: torch.Tensor, b: torch.Tensor, rows: int) -> None:
    """The floor: every cell of the matrix computed once, nothing looked at."""
    out = torch.empty(rows, len(b), device=a.device)
    for first in range(0, len(a), rows):
        part = a[first : first + rows]
        torch.mm(part, b.T, out=out[: len(part)])
    if a.is_cuda:
        torch.cuda.synchronize()


def matching(latents: int, width: int, device: str, dense: bool, noise: float, part: int = 1) -> list[str]:
    """Decoder matching of the first 1 / ``part`` of ``latents`` by ``latents``."""
    from stages.similarity import match
    from stages.similarity.blocks import CELLS, Cosine

    a, b, order = planted(latents, width, noise)
    a = a[: latents // part]
    on = torch.device(device)
    a, b = a.to(on), b.to(on)
    similarity = Cosine([(a, b)])
    rows = min(len(a), max(1, CELLS // latents))
    products(a[:rows], b, rows)  # warm
    _, floor_wall, floor_cpu = timed(lambda: products(a, b, rows))
    how: list[tuple[str, Callable[[], Any]]] = [
        ("mutual nearest", lambda: match.mutual(similarity, match.nearest(similarity)))
    ]
    if dense:
        how.append(("assignment", lambda: match.assign(similarity)))
    lines = []
    for name, function in how:
        with Peak() as peak:
            found, wall, cpu = timed(function)
        right = int((order[torch.from_numpy(found.latents_b).long()].numpy() == found.latents_a).sum())
        lines.append(
            f"{len(a):,} x {latents:,} x {width} on {device}, {name}: {wall:.1f} s wall, {cpu:.1f} s cpu; floor {floor_wall:.1f} s "
            f"wall, {floor_cpu:.1f} s cpu; ratio {wall / floor_wall:.2f} wall, {cpu / floor_cpu:.2f} cpu; "
            f"{peak.extra:,.0f} MB extra; {right:,} of {len(a):,} found"
        )
    return lines


def explanations(texts: int, device: str) -> list[str]:
    """Embedding ``texts`` made-up explanations, then again from what is remembered, and comparing the two halves."""
    from tempfile import TemporaryDirectory

    from stages.embeddings import embedder, memo
    from stages.similarity import match
    from stages.similarity.blocks import Cosine

    draw = np.random.default_rng(0)
    made = []
    for number in range(texts):
        chosen = draw.choice(WORDS, draw.integers(1, 5))
        made.append(f"Fires on {' or '.join(chosen)} after {number}.")
    with TemporaryDirectory() as folder:
        os.environ["GLOSSA_HOME"] = folder
        model = embedder.load("all-MiniLM-L6-v2", device)
        model.encode(made[:64])
        lengths = model._lengths(made)
        with Peak() as peak:
            vectors, wall, cpu = timed(lambda: memo.embed(model, made))
        _, again, again_cpu = timed(lambda: memo.embed(model, made))
    plain, floor_cpu = plain_encoder(model, made, lengths)
    matrix = torch.from_numpy(np.array([vectors[text] for text in made]))
    a, b = matrix[: texts // 2], matrix[texts // 2 :]
    _, near, near_cpu = timed(lambda: match.nearest(Cosine([(a, b)])))
    return [
        f"{texts:,} explanations of {np.mean(lengths):.0f} tokens on {device}: {wall:.1f} s wall, {cpu:.1f} s cpu, "
        f"{texts / wall:.0f} a second, {peak.extra:,.0f} MB extra; floor {plain:.1f} s wall, {floor_cpu:.1f} s cpu (matrix products "
        f"of the encoder alone); ratio {wall / plain:.2f} wall, {cpu / floor_cpu:.2f} cpu",
        f"remembered: {again:.2f} s wall, {again_cpu:.2f} s cpu; nearest of {len(a):,} by {len(b):,}: {near:.1f} s wall, {near_cpu:.1f} s cpu",
    ]


def plain_encoder(model: Any, texts: list[str], lengths: list[int]) -> tuple[float, float]:
    """The floor: the matrix products of the encoder's layers on as many tokens, in the largest batches used."""
    config = model.model[0].auto_model.config
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    x = torch.randn(model.batch_tokens, width, device=model.model.device)
    square = torch.randn(width, width, device=x.device)
    up, down = torch.randn(width, inner, device=x.device), torch.randn(inner, width, device=x.device)

    def run() -> None:
        for _ in range(0, sum(lengths), model.batch_tokens):
            for _ in range(layers):
                for _ in range(4):
                    x @ square
                x @ up @ down
        if x.is_cuda:
            torch.cuda.synchronize()

    run_one = timed(run)
    return run_one[1], run_one[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["matching", "explanations"], help="matching, wide or explanations")
    parser.add_argument("--latents", type=int, default=16_384, help="of each coder, for matching")
    parser.add_argument("--wide", type=int, default=131_072, help="of each coder, for wide")
    parser.add_argument("--part", type=int, default=1, help="of wide, only the first 1 / PART of one coder's latents")
    parser.add_argument(
        "--noise",
        type=float,
        default=NOISE,
        help="beside directions of norm 1; the assignment of unlike coders is slow",
    )
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    parts: dict[str, tuple[Callable[..., list[str]], tuple[Any, ...]]] = {
        "matching": (matching, (given.latents, given.width, given.device, True, given.noise)),
        "wide": (matching, (given.wide, given.width, given.device, False, given.noise, given.part)),
        "explanations": (explanations, (2 * given.latents, given.device)),
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f}", flush=True)
    for part in given.parts:
        function, arguments = parts[part]
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            print("\n".join(pool.submit(function, *arguments).result()), flush=True)


if __name__ == "__main__":
    main()
