"""A real ``glossa cache`` killed with SIGKILL again and again, and what it then does not have to do twice."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

WIDTH, LATENTS, K, VOCABULARY = 16, 256, 16, 320
STORE = Path("data/latents/one.zarr")
PARAMS = """\
corpus: {source: text, path: texts, context_length: 256, tokens: 1}
subject: {model: subject}
coders:
  one: {path: coder, hookpoint: layers.1}
sampling: {latents: all, min_activations: 5, window: 32, train: {strategy: top, n: 4}, test: {per_decile: 1, negatives: {random: 10}}}
explainers:
  pattern: {kind: pattern}
"""
MOMENTS = ["starting", *["capturing"] * 6, *["merging"] * 3]
"""What the process is at when a kill comes; when exactly is drawn at random."""


class Seen(NamedTuple):
    """What lies on disk at a moment of a process's life."""

    seconds: float
    runs: dict[str, tuple[int, int]]
    """Inode and time of change of every finished run."""
    merging: bool


@dataclass
class Outcome:
    """What became of a cache that was killed."""

    runs: int
    kills: dict[str, int]
    """How often it was killed while it was starting, capturing and merging."""
    written_again: int
    """Finished runs that were written a second time."""
    same_bytes: bool


def kill(n_kills: int, n_tokens: int, folder: Path, seed: int = 0) -> Outcome:
    """Kills a cache ``n_kills`` times, lets it finish and compares it with one that was left alone."""
    generator = random.Random(seed)
    furnish(folder, n_tokens)
    process = start(folder)
    alone = list(watch(folder, process))
    check(process)
    expected = hashes(folder / STORE)
    n_runs = len(max((seen.runs for seen in alone), key=len))
    starting = next(seen.seconds for seen in alone if seen.runs)
    merging = alone[-1].seconds - next(seen.seconds for seen in alone if seen.merging)
    shutil.rmtree(folder / STORE)

    outcome = Outcome(n_runs, {"starting": 0, "capturing": 0, "merging": 0}, 0, same_bytes=False)
    known: dict[str, tuple[int, int]] = {}
    while not (folder / STORE).exists():
        n = sum(outcome.kills.values())
        moment, share = MOMENTS[n % len(MOMENTS)] if n < n_kills else "never", generator.random()
        wanted = len(known) + 1 + int(share * (n_runs - len(known)) / 3)
        process = start(folder)
        for seen in watch(folder, process):
            outcome.written_again += sum(known.get(name, run) != run for name, run in seen.runs.items())
            known |= seen.runs
            due = {
                "starting": seen.seconds > share * starting,
                "capturing": len(known) >= wanted,
                "merging": seen.merging,
            }
            if due.get(moment):
                time.sleep({"starting": 0, "capturing": share * 0.2, "merging": share * merging * 0.8}[moment])
                process.kill()
                break
        if process.wait() == -9:
            last = look(folder, 0)
            outcome.kills["merging" if last.merging else "capturing" if last.runs else "starting"] += 1
            known |= {name: run for name, run in last.runs.items() if name not in known}
        else:
            check(process)
    outcome.same_bytes = hashes(folder / STORE) == expected
    return outcome


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GLOSSA_")}
    return subprocess.Popen(
        [sys.executable, "-m", "stages", "cache", "one"],
        cwd=folder,
        env={**environment, "GLOSSA_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def watch(folder: Path, process: subprocess.Popen[bytes]) -> Iterator[Seen]:
    """Looks every few milliseconds, until the process has ended."""
    begun = time.monotonic()
    while process.poll() is None:
        yield look(folder, time.monotonic() - begun)
        time.sleep(0.005)


def check(process: subprocess.Popen[bytes]) -> None:
    if process.wait():
        assert process.stderr is not None
        raise SystemExit(process.stderr.read().decode()[-2000:])


def look(folder: Path, seconds: float) -> Seen:
    runs = {}
    for file in folder.glob("home/scratch/*/run-*.bin"):
        try:
            stat = file.stat()
        except FileNotFoundError:  # removed when the store was finished
            continue
        runs[file.name] = (stat.st_ino, stat.st_mtime_ns)
    return Seen(seconds, runs, (folder / STORE.with_name(f".{STORE.name}.partial")).exists())


def hashes(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def furnish(folder: Path, n_tokens: int) -> None:
    """Writes a tiny random subject, a coder, tokens and params.yaml."""
    import torch
    from cache_throughput import write_tokens
    from safetensors.numpy import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=256,
            initializer_range=0.3,
        )
    ).save_pretrained(folder / "subject")
    generator = np.random.default_rng(0)
    encoder = generator.normal(size=(LATENTS, WIDTH)).astype(np.float32)
    weights = {
        "encoder.weight": encoder,
        "encoder.bias": np.zeros(LATENTS, np.float32),
        "W_dec": encoder / np.linalg.norm(encoder, axis=1, keepdims=True),
        "b_dec": np.zeros(WIDTH, np.float32),
    }
    (folder / "coder").mkdir()
    save_file(weights, folder / "coder/sae.safetensors")
    config = {"k": K, "d_in": WIDTH, "num_latents": LATENTS, "activation": "topk"}
    (folder / "coder/cfg.json").write_text(json.dumps(config))
    write_tokens(folder / "data/tokens", n_tokens, VOCABULARY)
    (folder / "params.yaml").write_text(PARAMS)
