"""A working folder with two coders of which one is the other in disguise, and ways to change it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from stages import params, paths, plan
from stages.coders import from_params
from stages.explainers.table import Explanation, write
from stages.subject.load import load

ORDER = np.random.default_rng(7).permutation(24)
KINDS = ["the cat", "a dog", "number of the word", "verb"]


def explain(coder: str, texts: dict[int, str | None], explainer: str = "pattern") -> None:
    found = [Explanation(latent, text, None if text else "nothing in common", {}) for latent, text in texts.items()]
    write(paths.explanations(coder, explainer), found, {"coder": coder})


def change(old: str, new: str) -> None:
    text = Path("params.yaml").read_text()
    assert old in text
    Path("params.yaml").write_text(text.replace(old, new))


def setting(**options: object) -> None:
    """Adds to the section compare."""
    text = Path("params.yaml").read_text()
    said = "".join(f", {key}: {json.dumps(value)}" for key, value in options.items())
    assert text.endswith("}\n")
    Path("params.yaml").write_text(f"{text[:-2]}{said}}}\n")


def weights(coder: str, **changed: np.ndarray) -> None:
    file = Path("coders") / coder / "sae.safetensors"
    save_file(load_file(file) | {key: np.ascontiguousarray(value) for key, value in changed.items()}, file)
    known = params.load().coders
    identify(*(name for name, entry in known.items() if getattr(entry, "path", "") == f"coders/{coder}"))


def identify(*coders: str) -> None:
    """Makes the examples of coders say that they were taken from what params.yaml names."""
    p = params.load()
    for name in coders:
        entry, file = p.coders[name], paths.examples(name) / "meta.json"
        meta = json.loads(file.read_text())
        subject = None
        if not isinstance(entry, params.Coder):
            subject = load(plan.subject_of(p, name), p.seed, torch.device("cpu"))
            meta["subject"] = subject.identity
        coder = from_params(name, entry, p.seed, subject)
        assert coder.hookpoint is not None
        meta |= {"coder": coder.identity, "n_latents": coder.n_latents, "hookpoint": coder.hookpoint}
        file.write_text(json.dumps(meta))


def another(name: str, like: str = "one", entry: str = "{path: coders/one, hookpoint: layers.1}") -> None:
    """Adds a coder before the last, sampled like another one."""
    change("  two:", f"  {name}: {entry}\n  two:")
    shutil.copytree(paths.examples(like), paths.examples(name))
    shutil.copytree(paths.latents(like), paths.latents(name))
    identify(name)


def plant(model_folder: Path) -> None:
    """Makes coder ``two`` of the current folder the same as ``one``, its latents in another ORDER, explained alike, save for two."""
    one = load_file("coders/one/sae.safetensors")
    weights("two", **{"W_dec": one["W_dec"][ORDER] * 2, "encoder.weight": one["encoder.weight"][ORDER] * 3})
    explain("one", {latent: KINDS[latent % 4] for latent in range(24) if latent != 5})
    explain("two", {place: KINDS[latent % 4] if latent != 6 else None for place, latent in enumerate(ORDER.tolist())})
    with Path("params.yaml").open("a") as file:
        file.write(f"compare: {{embedder: {model_folder}}}\n")
