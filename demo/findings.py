"""The runs that docs/findings.md and docs/compare.md quote: the demo with other params, each in a clone of its own, and their figures.

    python demo/findings.py FOLDER            # makes what is missing; an hour and a half on two cores, and 3 GB

Clones share one home, so that one forward pass, and one embedding of a text, serves all. What a run comes to is in FOLDER/<name>/results;
the tables that docs hold are printed as Markdown.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from stages.bootstrap import Figure, mean

ROOT = Path(__file__).resolve().parents[1]
CODERS = ("resid2", "resid7", "resid7_jump")
EXPLAINER = "pattern"
HARD = {"random": 50, "neighbour": 50, "semantic": 50, "surface": 50}
PATTERN = "pattern"
SCORERS: dict[str, dict[str, Any]] = {
    "detection": {"kind": "detection", "model": PATTERN},
    "fuzzing": {"kind": "fuzzing", "model": PATTERN},
    "simulation": {"kind": "simulation", "model": PATTERN},
    "intruder": {"kind": "intruder", "model": PATTERN},
    "embedding": {"kind": "embedding", "embedder": "all-MiniLM-L6-v2", "latents": 50},
    "pmi": {"kind": "pmi", "model": "subject", "active": 5, "silent": 5, "latents": 30},
}
CHEAP = ("detection", "fuzzing", "embedding")
"""Scorers of the runs that differ from the first in one thing."""
RUNS = ("quantile", "random", "top", "hard", "compare")


def params(name: str) -> dict[str, Any]:
    """Returns params.yaml of a run: that of the demo, with what the run is about."""
    found = YAML(typ="safe").load(ROOT / "params.yaml")
    sampling = found["sampling"]
    found["explainers"] = {EXPLAINER: {"kind": "pattern"}}
    if name == "compare":
        control = {"kind": "random", "hookpoint": "layers.7", "latents": 4096, "k": 32}
        found["coders"]["random7"] = control
        found["scorers"] = {}
        found["compare"] |= {"ceiling": 100, "activations": True}
        sampling["latents"] = "all"
        return found
    found["coders"] = {coder: found["coders"][coder] for coder in CODERS}
    found["compare"]["pairs"] = []
    sampling["latents"] = {"random": 220}
    sampling["train"]["strategy"] = name if name in ("random", "top") else "quantile"
    sampling["test"] = {"per_decile": 10, "negatives": HARD if name == "hard" else {"random": 100}}
    scorers = SCORERS if name == "quantile" else {kind: SCORERS[kind] for kind in CHEAP}
    found["scorers"] = {kind: entry for kind, entry in scorers.items() if name != "hard" or kind != "embedding"}
    return found


def run(name: str, folder: Path) -> Path:
    """Returns the clone in which a run is complete."""
    clone = folder / name
    if not clone.is_dir():
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        shutil.copy(ROOT / "params.yaml", clone / "params.yaml")
        with (clone / "params.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(params(name), file)
    environment = {**os.environ, "GLOSSA_HOME": str(folder / "home"), "PYTHONPATH": str(clone)}
    for command in (["-m", "stages", "wire"], ["-m", "dvc", "repro"]):
        subprocess.run([sys.executable, *command], cwd=clone, env=environment, check=True, stdout=sys.stderr)
    return clone


def scores(clone: Path, scorer: str, own: str = "own") -> dict[tuple[str, int], float]:
    """{(coder, latent): score} of a run."""
    return _values(clone, scorer, "scores", "score", explanation=own)


def measures(clone: Path, scorer: str, metric: str, subset: str, own: str = "own") -> dict[tuple[str, int], float]:
    """{(coder, latent): value} of one measure of a run."""
    return _values(clone, scorer, "measures", "value", explanation=own, metric=metric, subset=subset)


def _values(clone: Path, scorer: str, table: str, column: str, **chosen: str) -> dict[tuple[str, int], float]:
    explainer = "latent" if scorer == "intruder" else EXPLAINER
    found = {}
    for coder in CODERS:
        rows = pq.read_table(clone / f"data/scores/{coder}/{explainer}/{scorer}/{table}.parquet").to_pylist()
        for row in rows:
            if row[column] is not None and all(row[key] == value for key, value in chosen.items()):
                found[coder, row["latent"]] = row[column]
    return found


def average(values: Mapping[Any, float] | Iterable[float]) -> Figure:
    """Their mean and its interval, resampling latents."""
    numbers = values.values() if isinstance(values, Mapping) else values
    return mean(np.array(list(numbers), np.float64), np.random.default_rng(0))


def difference(a: Mapping[Any, float], b: Mapping[Any, float]) -> Figure:
    """The mean of a - b over the latents that both have."""
    return average([a[key] - b[key] for key in sorted(a.keys() & b.keys())])


def shown(figure: Figure, signed: bool = False) -> str:
    """``0.123 [0.100, 0.146]``."""
    if figure.value is None:
        return f"- ({figure.reason})"
    sign = "+" if signed else ""
    return f"{figure.value:{sign}.3f} [{figure.low:.3f}, {figure.high:.3f}], {figure.n}".replace("-", "\u2212")


def strategies(clones: Mapping[str, Path]) -> None:
    """Prints what train windows of all deciles, at random and the strongest come to."""
    print("\n## strategies\n")
    rows = [(scorer, "score", None) for scorer in CHEAP]
    rows += [("detection", metric, "all") for metric in ("sensitivity", "specificity", "natural_f1")]
    for scorer, metric, subset in rows:
        found = {
            name: scores(clones[name], scorer) if subset is None else measures(clones[name], scorer, metric, subset)
            for name in ("quantile", "random", "top")
        }
        cells = [shown(average(values)) for values in found.values()]
        pairs = [("quantile", "top"), ("quantile", "random")]
        cells += [shown(difference(found[a], found[b]), signed=True) for a, b in pairs]
        print(f"| {scorer} {metric} | {' | '.join(cells)} |")
    for scorer in ("detection", "fuzzing"):
        for name in ("quantile", "top"):
            deciles = [
                average(measures(clones[name], scorer, "sensitivity", f"decile {d}")).value for d in range(1, 11)
            ]
            print(f"| {scorer} {name} by decile | {' | '.join(f'{value:.3f}' for value in deciles)} |")
    for coder in CODERS:
        for scorer in CHEAP:
            a, b = (
                {k: v for k, v in scores(clones[name], scorer).items() if k[0] == coder} for name in ("quantile", "top")
            )
            print(f"| {coder} {scorer} quantile - top | {shown(difference(a, b), signed=True)} |")


def agreement(clone: Path) -> None:
    """Prints Spearman's correlations of scorers over latents, with bootstrap intervals."""
    from scipy.stats import spearmanr

    print("\n## scorers that agree\n")
    found = {scorer: scores(clone, scorer) for scorer in SCORERS}
    for scorer, values in found.items():
        floor = scores(clone, scorer, "shuffled") if scorer != "intruder" else {}
        gain = shown(difference(values, floor), signed=True) if floor else ""
        print(f"| {scorer} | {shown(average(values))} | {gain} |")
    names = list(SCORERS)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            both = sorted(found[a].keys() & found[b].keys())
            x, y = (np.array([found[name][key] for key in both]) for name in (a, b))
            generator = np.random.default_rng(0)
            drawn = [spearmanr(x[draw], y[draw]).statistic for draw in generator.integers(len(x), size=(1000, len(x)))]
            low, high = np.nanquantile(drawn, (0.025, 0.975))
            print(f"| {a} - {b} | {spearmanr(x, y).statistic:.2f} [{low:.2f}, {high:.2f}] | {len(both)} |")


def negatives(clones: Mapping[str, Path]) -> None:
    """Prints what each kind of negatives does to detection and fuzzing."""
    print("\n## negatives\n")
    clone = clones["hard"]
    for kind in HARD:
        cells = []
        for scorer in ("detection", "fuzzing"):
            metric = "specificity" if scorer == "detection" else "balanced_accuracy"
            own = measures(clone, scorer, "balanced_accuracy", f"negatives {kind}")
            floor = measures(clone, scorer, "balanced_accuracy", f"negatives {kind}", "shuffled")
            if scorer == "detection":
                cells.append(shown(average(measures(clone, scorer, metric, f"negatives {kind}"))))
            cells += [shown(average(own)), shown(difference(own, floor), signed=True)]
        print(f"| {kind} | {' | '.join(cells)} |")


def intruders(clone: Path) -> None:
    """Prints how often the intruder is found, by decile."""
    print("\n## intruder\n")
    by_decile = {d: measures(clone, "intruder", "accuracy", f"decile {d}") for d in range(1, 11)}
    print(f"| all | {shown(average(scores(clone, 'intruder')))} |")
    print("| " + " | ".join(shown(average(values)) for values in by_decile.values()) + " |")
    print(f"| first - last | {shown(difference(by_decile[1], by_decile[10]), signed=True)} |")


def compared(clone: Path) -> None:
    """Prints the figures of every two coders."""
    print("\n## compare\n")
    meta = json.loads((clone / "data/similarity/meta.json").read_text(encoding="utf-8"))
    print(json.dumps({"pairs": meta["pairs"], "ceilings": meta["ceilings"]}, indent=1))


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("names", nargs=-1, type=click.Choice(RUNS))
def main(folder: Path, names: tuple[str, ...]) -> None:
    """Makes the runs, or those named, in FOLDER, and prints their tables."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    clones = {name: run(name, folder) for name in names or RUNS}
    if {"quantile", "random", "top"} <= clones.keys():
        strategies(clones)
    if "quantile" in clones:
        agreement(clones["quantile"])
        intruders(clones["quantile"])
    if "hard" in clones:
        negatives(clones)
    if "compare" in clones:
        compared(clones["compare"])


if __name__ == "__main__":
    main()
