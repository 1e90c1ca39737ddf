"""What made-up reports are made of, and one with a large table."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

from stages import site

ASSETS = Path(site.__file__).parent / "assets"
ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})
WORDS = [
    "river",
    "stone",
    "window",
    "thread",
    "engine",
    "garden",
    "paper",
    "signal",
    "number",
    "harbour",
    "letter",
    "market",
    "winter",
    "glass",
    "copper",
    "field",
]
KINDS = [
    "verbs of",
    "names for",
    "text about",
    "the word",
    "lists of",
    "questions on",
    "code that reads",
    "digits near",
]
HOSTILE = (
    '</script><script>window.pwned=1</script><img src=x onerror="window.pwned=1"><svg onload=window.pwned=1>'
    '"\');window.pwned=1;alert(1)//\u202egnp.exe\u2028javascript:alert(1)<a href="javascript:window.pwned=1">x</a>${window.pwned=1}'
)
SHARD, ROWS, EVERY, WINDOW = 32, 40, 3, 24
"""Latents to a shard, to a piece of the table; every how many of a coder's latents is kept; tokens of a window."""

METRICS = {
    "detection": ("balanced accuracy", "natural F1"),
    "fuzzing": ("balanced accuracy", "natural F1"),
    "embedding": ("AUROC", "natural AUPRC"),
    "simulation": ("Pearson correlation", ""),
    "intervention": ("surprisal drop in nats", ""),
    "sensitivity": ("share of texts", ""),
    "intruder": ("accuracy", ""),
}
SCORERS: list[dict[str, Any]] = [
    {
        "name": kind,
        "kind": kind,
        "metric": metric,
        "natural": natural,
        "floor": "chance" if kind == "intruder" else "floor",
        "bounded": kind != "intervention",
        "chance": None,
        "of_latents": kind == "intruder",
    }
    for kind, (metric, natural) in METRICS.items()
]


def write_assets(folder: Path) -> None:
    """Lays the pages and what they load where a report has them."""
    (folder / "assets").mkdir(parents=True)
    for source in ASSETS.iterdir():
        if source.suffix == ".html":
            shutil.copy(source, folder)
        elif source.suffix in (".js", ".css"):
            shutil.copy(source, folder / "assets")


def write_data(folder: Path, name: str, value: Any) -> None:
    """Writes one data file: a single call whose second argument is JSON as a string."""
    path = folder / "data" / f"{name}.js"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    path.write_text(
        f"glossa({json.dumps(name)},{json.dumps(text, ensure_ascii=False).translate(ESCAPES)});\n", encoding="utf-8"
    )


def manifest(
    coders: list[dict[str, Any]], explainers: list[str], scorers: list[dict[str, Any]], **others: Any
) -> dict[str, Any]:
    """The manifest of a report on these coders."""
    facts = {
        "version": 1,
        "title": "Made up",
        "subject": "a/subject",
        "examples": 4,
        "window": WINDOW,
        "threshold": 0.3,
    }
    known = {"explainer_facts": {}, "scorer_facts": {}, "explainers": explainers, "scorers": scorers, "coders": coders}
    return facts | known | others


def write_large(folder: Path, coders: int = 5, rows: int = 20_000, piece: int = 4096) -> None:
    """Writes a report whose table is large and behind which nothing lies."""
    draw = random.Random(0)
    write_assets(folder)
    scorers = [scorer for scorer in SCORERS if scorer["name"] in ("detection", "fuzzing", "embedding", "intruder")]
    keys = [f"{'latent' if scorer['of_latents'] else 'llm'}/{scorer['name']}" for scorer in scorers]
    listed = []
    for place in range(coders):
        name = f"layer{place}"
        firsts = list(range(0, rows, piece))
        for number, first in enumerate(firsts):
            ids = list(range(first, min(first + piece, rows)))
            columns = {
                "latent": ids,
                "density": [float(f"{10 ** draw.uniform(-6, -1):.3g}") for _ in ids],
                "max": [float(f"{draw.uniform(1, 40):.3g}") for _ in ids],
                "explanations": {"llm": [sentence(draw) if draw.random() < 0.95 else None for _ in ids]},
                "scores": {
                    key: [round(draw.random(), 3) if draw.random() < 0.5 else None for _ in ids] for key in keys
                },
            }
            write_data(folder, f"{name}/table/{number}", columns)
        facts = {
            "name": name,
            "kind": "coder",
            "hookpoint": f"layers.{place}",
            "n_latents": rows,
            "kept": rows,
            "dropped": [],
        }
        listed.append(
            facts | {"table": firsts, "shards": [0], "verdicts": {}, "made": {}, "windows": [], "provenance": []}
        )
    write_data(folder, "manifest", manifest(listed, ["llm"], scorers))


def sentence(draw: random.Random) -> str:
    return f"{draw.choice(KINDS).capitalize()} {draw.choice(WORDS)} and {draw.choice(WORDS)}, mostly before a {draw.choice(WORDS)} or a {draw.choice(WORDS)}."
