"""How fast activations are cached, in how much memory and disk, and what a kill costs.

    python benchmarks/cache.py throughput memory synthetic kill
    python benchmarks/cache.py throughput --peer-python PATH memory --peer-python PATH
    python benchmarks/cache.py gpu --peak-tflops 989

Commands may follow one another; a table of what was measured beside what must be reached is printed at the end. The
peer is EleutherAI/delphi. Install it in an environment of its own, beside torch and transformers, and name its Python:

    git clone https://github.com/EleutherAI/delphi && python -m venv peer && peer/bin/pip install ./delphi
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

T = TypeVar("T")
CONFIGURATIONS = [
    ("pythia-14m", 4096, (3,)),
    ("pythia-14m", 4096, (1, 3, 5)),
    ("pythia-14m", 16_384, (3,)),
    ("pythia-14m", 16_384, (1, 3, 5)),
    ("pythia-160m", 32_768, (6,)),
]
"""Shape, latents, layers whose output is read."""
MUST = {"pythia-14m": 0.85, "pythia-160m": 0.92}
PER_TOKEN = 48
"""Events of a token of ``synthetic``."""
SYNTHETIC = (1_000_000, 3_000_000, 250_000_000 // PER_TOKEN, 10_000_000)
"""Its tokens; the third make 250 M events."""


class Row(NamedTuple):
    """A line of the table."""

    what: str
    must: str
    measured: str
    reached: bool | None = None


class Settings(NamedTuple):
    """What holds for all commands."""

    folder: Path | None
    threads: int


@click.group(chain=True)
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write; the system's temporary folder by default.")  # fmt: skip
@click.option("--threads", default=2, show_default=True, help="Threads of torch.")
@click.pass_context
def main(context: click.Context, folder: Path | None, threads: int) -> None:
    """Measures the caching of activations."""
    # Threads that spin while they wait would count as work, and take a core from the writer on a busy machine.
    os.environ |= {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1"}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    context.obj = Settings(folder, threads)


@main.result_callback()
@click.pass_obj
def report(settings: Settings, parts: list[list[Row]], **_: Any) -> None:
    import torch

    cores, load = os.cpu_count(), ", ".join(f"{value:.1f}" for value in os.getloadavg())
    click.echo(
        f"\n{date.today()}, {platform.machine()}, {cores} cores, {settings.threads} threads, torch {torch.__version__}, "
        f"load average at the end {load}\n\n| | must | measured | |\n|---|---|---|---|"
    )
    for row in (row for rows in parts for row in rows):
        verdict = "" if row.reached is None else "reached" if row.reached else "MISSED"
        click.echo(f"| {row.what} | {row.must} | {row.measured} | {verdict} |")


@main.command()
@click.option("--tokens", default=400_000, show_default=True)
@click.option("--only", help="Only configurations whose name contains this, such as 14m/4096/1.")
@click.option("--peer-python", type=click.Path(), help="A Python that has delphi.")
@click.option("--peer-tokens", type=int, help="Tokens of the peer, which takes longer; by default the same.")
@click.pass_obj
def throughput(
    settings: Settings, tokens: int, only: str | None, peer_python: str | None, peer_tokens: int | None
) -> list[Row]:
    """Capturing and merging against the forward pass and the encoding alone."""
    rows = []
    for shape, latents, layers in CONFIGURATIONS:
        name = f"{shape}/{latents}/{len(layers)}"
        if only and only not in name:
            continue
        found = fresh(settings, _throughput, (shape, latents, layers), tokens)
        rows += show(
            Row(
                f"{name}: throughput / floor, wall time",
                f"≥ {MUST[shape]}",
                f"{found.total_ratio('wall'):.2f} (median of ranges {found.ratio:.2f}; "
                f"{found.rate():,.0f} of {found.floor_rate():,.0f} tokens/s; processor time {found.total_ratio('cpu'):.2f})",
                found.total_ratio("wall") >= MUST[shape],
            ),
            Row(f"{name}: bytes per nonzero, exact", "≤ 5.3", f"{found.bytes_exact:.2f}", found.bytes_exact <= 5.3),
            Row(f"{name}: bytes per nonzero, bf16", "≤ 3.3", f"{found.bytes_bf16:.2f}", found.bytes_bf16 <= 3.3),
        )
        if peer_python:
            peer = run_peer(peer_python, (shape, latents, layers), peer_tokens or tokens)
            measured = (
                f"{peer['ratio']:.2f} ({peer['rate']:,.0f} tokens/s; processor time {peer['cpu_ratio']:.2f}), "
                f"{peer['bytes']:.2f} bytes per nonzero, peak {peer['peak_mb']:,.0f} MB"
            )
            rows += show(Row(f"{name}: the peer", "", measured))
    return rows


@main.command()
@click.option("--tokens", default=4_000_000, show_default=True)
@click.option("--peer-python", type=click.Path(), help="A Python that has delphi.")
@click.pass_obj
def memory(settings: Settings, tokens: int, peer_python: str | None) -> list[Row]:
    """How the peak memory of a capture and its merge grows with the number of tokens."""
    work = ("pythia-14m", 4096, (0,))
    small, large = (grow(settings, work, n) for n in (100_000, tokens))
    grown = large[0] - small[0]
    what = f"growth of peak memory from 0.1 M to {tokens / 1e6:g} M tokens ({large[1] / 1e6:.0f} M nonzeros)"
    measured = f"{grown:.0f} MB ({small[0]:.0f} to {large[0]:.0f})"
    rows = show(Row(what, "≤ 60 MB", measured, grown <= 60))
    if peer_python:
        few, many = (run_peer(peer_python, work, n) for n in (100_000, 400_000))
        each = (many["peak_mb"] - few["peak_mb"]) * 1e6 / (many["events"] - few["events"])
        rows += show(Row("the same for the peer, from 0.1 M to 0.4 M tokens", "", f"{each:.0f} bytes per nonzero"))
    return rows


@main.command()
@click.option("--memory-mb", default=512, show_default=True)
@click.option("--latents", default=131_072, show_default=True)
@click.option("--tokens", type=int, multiple=True, default=SYNTHETIC, show_default=True)
@click.pass_obj
def synthetic(settings: Settings, memory_mb: int, latents: int, tokens: tuple[int, ...]) -> list[Row]:
    """Made-up events of a wide coder through the collector and the merge."""
    rows = []
    rates = {}
    for n in tokens:
        found = fresh(settings, _synthetic, n, latents, memory_mb << 20, 23)
        rates[n] = found.rate
        name = f"{latents:,} latents x {n / 1e6:.1f} M tokens x {PER_TOKEN}"
        rows += show(
            Row(
                f"{name}: events per second and core",
                "≥ 12 M",
                f"{found.rate / 1e6:.1f} M (collecting {found.cpu_collect:.1f} s, merging {found.cpu_merge:.1f} s)",
                found.rate >= 12e6,
            ),
            Row(f"{name}: peak memory", "≤ 1 GB", f"{found.peak_mb:.0f} MB", found.peak_mb <= 1000),
            Row(
                f"{name}: bytes per nonzero, files",
                "≤ 5.3, ≤ 80 at 250 M nonzeros",
                f"{found.bytes_per_event:.2f}, {found.files} ({found.events / 1e6:.0f} M nonzeros)",
                found.bytes_per_event <= 5.3 and (found.files <= 80 or found.events > 250e6),
            ),
        )
    found = fresh(settings, _synthetic, 1_000_000, latents, memory_mb << 20, 7)
    few, many = min(tokens), max(tokens)
    linear = rates[few] / rates[many]
    rows += show(
        Row(
            "the same at bf16: bytes per nonzero", "≤ 3.3", f"{found.bytes_per_event:.2f}", found.bytes_per_event <= 3.3
        ),
        Row(
            f"time per event at {many / 1e6:g} M tokens / at {few / 1e6:g} M tokens",
            "linear",
            f"{linear:.2f}",
            linear <= 1.1,
        ),
    )
    return rows


@main.command()
@click.option("--times", default=10, show_default=True)
@click.option("--tokens", default=2_000_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.pass_obj
def kill(settings: Settings, times: int, tokens: int, seed: int) -> list[Row]:
    """A real process, killed again and again."""
    found = fresh(settings, _kill, times, tokens, seed)
    when = ", ".join(f"{n} while {moment}" for moment, n in found.kills.items())
    what = f"kill -9, {sum(found.kills.values())} times ({when}), {found.runs} runs"
    return show(
        Row(f"{what}: finished runs written again", "0", str(found.written_again), found.written_again == 0),
        Row(f"{what}: same bytes", "yes", "yes" if found.same_bytes else "no", found.same_bytes),
    )


@main.command()
@click.option("--tokens", default=1_000_000, show_default=True)
@click.option("--peak-tflops", type=float, required=True, help="What the chip does in dense bfloat16.")
@click.pass_obj
def gpu(settings: Settings, tokens: int, peak_tflops: float) -> list[Row]:
    """Large models with random weights on the first CUDA device."""
    import cache_gpu
    import torch

    if not torch.cuda.is_available():
        raise click.ClickException("gpu needs a CUDA device, and torch finds none")
    rows = []
    for case in cache_gpu.CASES:
        with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
            found = cache_gpu.measure(case, tokens, Path(folder), torch.device("cuda"))
        torch.cuda.empty_cache()
        share = found.ours * found.flops / (peak_tflops * 1e12)
        ratio = found.ours / found.floor
        rows += show(
            Row(
                f"{torch.cuda.get_device_name()}, {case.name}: throughput / floor",
                "aim ≥ 0.9",
                f"{ratio:.2f} ({found.ours:,.0f} of {found.floor:,.0f} tokens/s; {share:.0%} of the bf16 peak)",
                ratio >= 0.9,
            )
        )
    return rows


def fresh(settings: Settings, function: Callable[..., T], *args: Any) -> T:
    """Calls ``function(*args, folder)`` in a process of its own with an empty folder."""
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        return apart(function, *args, Path(folder))


def apart(function: Callable[..., T], *args: Any) -> T:
    """Calls ``function(*args)`` in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def grow(settings: Settings, work: tuple[str, int, tuple[int, ...]], tokens: int) -> tuple[float, int]:
    """Peak memory in MB and events of a capture whose tokens another process has made up."""
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        apart(_tokens, work[0], tokens, Path(folder) / "tokens")
        return apart(_grow, work, Path(folder))


def _throughput(work: tuple[str, int, tuple[int, ...]], tokens: int, folder: Path) -> Any:
    import cache_throughput
    from cache_floor import Work

    return cache_throughput.measure(Work(*work), tokens, folder)


def _tokens(shape: str, tokens: int, folder: Path) -> None:
    import cache_throughput
    from cache_floor import SHAPES

    cache_throughput.write_tokens(folder, tokens, SHAPES[shape].vocabulary)


def _grow(work: tuple[str, int, tuple[int, ...]], folder: Path) -> Any:
    import cache_throughput
    from cache_floor import Work

    return cache_throughput.grow(Work(*work), folder)


def _synthetic(tokens: int, latents: int, memory: int, bits: int, folder: Path) -> Any:
    import cache_synthetic

    return cache_synthetic.store(tokens, latents, PER_TOKEN, memory, bits, folder)


def _kill(times: int, tokens: int, seed: int, folder: Path) -> Any:
    import cache_kill

    return cache_kill.kill(times, tokens, folder, seed)


def run_peer(python: str, work: tuple[str, int, tuple[int, ...]], tokens: int) -> dict[str, float]:
    """What cache_peer.py prints."""
    command = [python, str(Path(__file__).with_name("cache_peer.py")), json.dumps([*work, tokens])]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise click.ClickException(f"{python} can't run delphi:\n{found.stderr[-2000:]}")
    return json.loads(found.stdout.splitlines()[-1])


def show(*rows: Row) -> list[Row]:
    for row in rows:
        click.echo(f"{row.what}: {row.measured} (must: {row.must or '-'})", file=sys.stderr)
    return list(rows)


if __name__ == "__main__":
    main()
