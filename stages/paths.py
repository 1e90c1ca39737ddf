"""Where everything lies, relative to the repository root (DVC runs every stage there)."""

from __future__ import annotations

from pathlib import Path

PARAMS = Path("params.yaml")
RUNTIME = Path("runtime.yaml")
PIPELINE = Path("dvc.yaml")
PIPELINES = Path("pipelines")
FINGERPRINTS = Path("fingerprints.json")
CONSTRAINTS = Path("constraints.txt")

TOKENS = Path("data/tokens")
SIMILARITY = Path("data/similarity")
METRICS = Path("results/metrics")
PLOTS = Path("results/plots")
REPORT = Path("results/report")
DATASET = Path("results/dataset")


def pipeline(coder: str) -> Path:
    """The stages of a coder, for DVC; beside it DVC keeps their lock file."""
    return PIPELINES / coder / "dvc.yaml"


def latents(coder: str) -> Path:
    """The Zarr store of a coder's activations."""
    return Path("data/latents") / f"{coder}.zarr"


def examples(coder: str) -> Path:
    """The sampled latents of a coder and their windows."""
    return Path("data/examples") / coder


def explanations(coder: str, explainer: str) -> Path:
    """The explanations that one explainer gave of a coder's latents."""
    return Path("data/explanations") / coder / explainer


def scores(coder: str, explainer: str, scorer: str) -> Path:
    """The scores of those explanations, and the verdicts that made them."""
    return Path("data/scores") / coder / explainer / scorer
