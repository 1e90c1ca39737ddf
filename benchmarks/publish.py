"""How fast the report is written, and in how much memory.

    python benchmarks/publish.py --folder /tmp/made-up

Made-up coders with one explainer and two scorers: 40 train, 50 test and 50 silent windows of 32 tokens for every latent, 100 verdicts of
each scorer by its own and by another's explanation, transcripts of the explainer and of one scorer. What is timed is reading
all results and writing results/report; the floor reads the same tables and transcripts and writes files of the same sizes.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

MUST_SECONDS, MUST_LATENTS = 60, 20_000
HERE = Path(__file__).resolve().parent


@click.command()
@click.option("--coders", default=4, show_default=True)
@click.option("--latents", default=5000, show_default=True, help="Of each coder.")
@click.option("--workers", type=int, help="Processes that write; by default as many as the report would start.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keeps what is made, and finds it there the next time.")
@click.option("--part", hidden=True, help="What a child process does.")
def main(coders: int, latents: int, workers: int | None, folder: Path | None, part: str | None) -> None:
    """Measures the report on so many latents."""
    if part:
        print(json.dumps(_part(part, coders, latents)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        case = (folder or Path(temporary)) / f"{coders}-{latents}"
        given = ["--coders", str(coders), "--latents", str(latents)]
        if workers:
            os.environ["GLOSSA_WORKERS"] = str(workers)
        for step in ("corpus", *(f"coder {number}" for number in range(coders)), "similarity"):
            if not (case / f".{step}").exists():
                case.mkdir(parents=True, exist_ok=True)
                _child(case, given, step)
                (case / f".{step}").touch()
        found, floor = _child(case, given, "report"), _child(case, given, "floor")
        n = coders * latents
        click.echo(
            f"{n:,} latents: {found['wall']:.1f} s wall, {found['cpu']:.1f} s processor (must be {MUST_SECONDS * n / MUST_LATENTS:.0f} s wall), "
            f"{found['files']:,} files, {found['bytes'] / 1e6:,.0f} MB; the largest process {found['peak']:.0f} MB; floor {floor['wall']:.1f} s "
            f"wall, {floor['cpu']:.1f} s processor, {floor['read'] / 1e6:,.0f} MB read; ratio {found['wall'] / floor['wall']:.2f} wall, "
            f"{found['cpu'] / floor['cpu']:.2f} processor"
        )


def _child(case: Path, given: list[str], part: str) -> dict[str, float]:
    command = [sys.executable, str(HERE / "publish.py"), *given, "--part", part]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    done = subprocess.run(command, cwd=case, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _part(part: str, coders: int, latents: int) -> dict[str, float]:
    import publish_made as made

    case = made.Made(Path.cwd(), coders, latents)
    match part.split():
        case ["corpus"]:
            Path("params.yaml").write_text(made.params(case), encoding="utf-8")
            made.corpus()
        case ["coder", number]:
            made.coder(case, case.names[int(number)])
        case ["similarity"]:
            made.similarity(case)
        case ["report"]:
            return _timed(_report)
        case ["floor"]:
            return _timed(_floor)
    return {}


def _timed(function) -> dict[str, float]:
    wall = time.perf_counter()
    found = function()
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(one.ru_utime + one.ru_stime for one in both)
    peak = max(one.ru_maxrss for one in both) * 1024 / 1e6
    return {"wall": time.perf_counter() - wall, "cpu": cpu, "peak": peak, **found}


def _report() -> dict[str, float]:
    from stages import params, paths
    from stages.outputs import new_directory
    from stages.results import reading
    from stages.site import write

    p = params.load()
    with new_directory(paths.REPORT) as partial:
        write.write(partial, p, reading.read(p))
    sizes = [file.stat().st_size for file in paths.REPORT.rglob("*") if file.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _floor() -> dict[str, float]:
    """Every row group of every table read, and files like those of the report written."""
    import pyarrow.parquet as pq

    read = 0
    for path in sorted(Path("data").rglob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.metadata.num_row_groups):
            read += file.read_row_group(group).nbytes
    shutil.rmtree("floor", ignore_errors=True)
    block = os.urandom(2**24)
    for path in sorted(Path("results/report").rglob("*")):
        if path.is_file():
            copy = "floor" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            with copy.open("wb") as file:
                size = path.stat().st_size
                for first in range(0, size, len(block)):
                    file.write(block[: size - first])
    shutil.rmtree("floor")
    return {"read": read}


if __name__ == "__main__":
    main()
