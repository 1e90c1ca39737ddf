"""How fast windows are sampled, and in how much memory.

    python benchmarks/sample.py
    python benchmarks/sample.py --latents 16384 --tokens 5e6 --negatives neighbour --folder /tmp/stores

Made-up activations, 48 to a token, from every latent of which that fires on 200 tokens or more are drawn: windows, deciles, 40 train and 100
test windows apart from each other, 100 random negatives, and the activations of all, written as Parquet. Times are those of the processor.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import click

PER_TOKEN, VOCABULARY, SEED = 48, 50_304, 0
MUST = {16_384: 700, 131_072: 2500}
"""Latents per second of one core, by latents of the coder."""
MOST_MB = 1000


class Made(NamedTuple):
    """A corpus and a store of activations on it."""

    folder: Path
    latents: int
    tokens: int


class Measured(NamedTuple):
    """What sampling all latents took."""

    latents: int
    windows: int
    seconds: float
    """Of the processor, reading and writing included."""
    peak_mb: float
    megabytes: float
    """Written."""


@click.command()
@click.option(
    "--latents", type=int, multiple=True, default=tuple(MUST), show_default=True, help="Latents of the coder."
)
@click.option("--tokens", type=float, default=5e6, show_default=True, help="Tokens of the corpus.")
@click.option("--negatives", multiple=True, help="Kinds of negatives besides random, of which there are 50 each.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps what is made, and finds it there the next time.")
@click.option("--repeat", type=int, default=3, show_default=True)
def main(latents: tuple[int, ...], tokens: float, negatives: tuple[str, ...], folder: Path | None, repeat: int) -> None:
    """Measures sampling for coders of so many latents."""
    with tempfile.TemporaryDirectory() as temporary:
        for n in latents:
            case = Made((folder or Path(temporary)) / f"{n}-{tokens:.0f}", n, int(tokens))
            if not (case.folder / "tokens").exists():
                _apart(make, case)
            found = min((_apart(measure, case, negatives) for _ in range(repeat)), key=lambda one: one.seconds)
            rate, least = found.latents / found.seconds, 0 if negatives else MUST.get(n, 0)
            kinds = " and ".join(["random", *negatives])
            click.echo(
                f"{n:,} latents x {int(tokens):,} tokens, {kinds} negatives: {found.latents:,} latents, {found.windows:,} "
                f"windows in {found.seconds:.1f} s, {rate:,.0f} latents/s (must be {least:,}); peak {found.peak_mb:.0f} MB "
                f"(must not pass {MOST_MB}); {found.megabytes * 1e3 / found.latents:.1f} kB written per latent"
            )


def make(case: Made) -> None:
    """Writes the corpus and the store."""
    from cache_floor import CONTEXT
    from cache_synthetic import batches_of, ranges_of
    from cache_throughput import write_tokens

    from stages.latents import runs, spec
    from stages.latents.events import Collector
    from stages.latents.merge import merge
    from stages.machine.scratch import Scratch

    shutil.rmtree(case.folder, ignore_errors=True)
    scratch = Scratch(str(case.folder / "scratch"))
    tokens = write_tokens(case.folder / "tokens.partial", case.tokens, VOCABULARY)
    collector = Collector(scratch, case.latents, CONTEXT, 23, 2**29)
    ranges = ranges_of(tokens.rows)
    for first, end in ranges:
        collector.begin(first)
        for batch in batches_of(first, end, case.latents, PER_TOKEN):
            collector.add(*batch)
        collector.end(end)
    collector.close()
    found = [runs.find(scratch, first, end, case.latents, trusted=True) for first, end in ranges]
    attributes: dict[str, Any] = {"schema": spec.SCHEMA, "version": spec.VERSION, "tokens_sha256": tokens.sha256}
    merge([run for run in found if run], case.folder / "store.zarr", tokens.rows, CONTEXT, attributes, {})
    shutil.rmtree(case.folder / "scratch")
    (case.folder / "tokens.partial").rename(case.folder / "tokens")


def measure(case: Made, negatives: tuple[str, ...]) -> Measured:
    """Samples every latent; call it in a fresh process, whose peak memory it returns."""
    os.environ["TQDM_DISABLE"] = "1"
    begun = time.process_time()
    from stages import params
    from stages.corpus.tokens import Tokens
    from stages.examples.sample import sample
    from stages.examples.table import WindowsWriter
    from stages.latents.store import LatentStore
    from stages.outputs import write_table

    options = {
        "latents": "all",
        "test": {"negatives": {"random": 50 if negatives else 100, **dict.fromkeys(negatives, 50)}},
    }
    sampling = params.Sampling.model_validate(options)
    store, tokens = LatentStore.open(case.folder / "store.zarr"), Tokens.open(case.folder / "tokens")
    with tempfile.TemporaryDirectory() as folder:
        with WindowsWriter(Path(folder) / "windows.parquet") as writer:
            sampled = sample(store, tokens, sampling, SEED, "made-up", writer.add)
        write_table(Path(folder) / "latents.parquet", sampled.latents)
        seconds = time.process_time() - begun
        written = sum(file.stat().st_size for file in Path(folder).iterdir())
    kept = len(sampled.latents) - sum(sampled.dropped.values())
    return Measured(kept, writer.rows, seconds, peak_mb(), written / 1e6)


def peak_mb() -> float:
    """The largest resident memory that this process has had, in MB (10**6 bytes)."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # getrusage would also count what the parent had when this process was started
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


def _apart(function: Any, *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    main()
