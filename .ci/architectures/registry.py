"""Writes the layouts of all releases in the registry of the installed sae-lens: how many coders there are of what kind of path, and no weights.

    python .ci/architectures/registry.py tests/coders/registry/releases.json

A path stands for all of its release that differ from it by numbers or by one of a few words alone.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

OVERRIDES = ("model_from_pretrained_kwargs", "normalize_activations")
"""What the registry says of a coder that decides what it computes."""


def layout(coder: dict[str, Any]) -> str:
    """What coders of one layout have in common."""
    words = re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?|big|small|medium", "N", str(coder["path"]))
    return f"{words} {'norm_scaling_factor' in coder}"


def release(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """Its repository, its loader, and one coder of every layout with how many there are of it."""
    layouts: dict[str, dict[str, Any]] = {}
    for coder in found["saes"]:
        entry = layouts.setdefault(layout(coder), {"id": coder["id"], "path": str(coder["path"]), "coders": 0})
        if "norm_scaling_factor" in coder:
            entry["norm_scaling_factor"] = coder["norm_scaling_factor"]
        if coder.get("neuronpedia"):
            entry["neuronpedia"] = coder["neuronpedia"]
        entry["coders"] += 1
    overrides = {key: value for key, value in (found.get("config_overrides") or {}).items() if key in OVERRIDES}
    return {
        "release": name,
        "repo_id": found["repo_id"],
        "loader": found.get("conversion_func"),
        **({"config_overrides": overrides} if overrides else {}),
        "layouts": list(layouts.values()),
    }


def main(path: Path) -> None:
    """Writes ``path``."""
    spec = find_spec("sae_lens")
    assert spec is not None
    assert spec.origin is not None
    registry = yaml.load(Path(spec.origin).with_name("pretrained_saes.yaml").read_text(), yaml.CSafeLoader)
    releases = [json.dumps(release(name, found)) for name, found in registry.items()]
    lines = ",\n".join(releases)
    path.write_text(f'{{"sae-lens": "{version("sae-lens")}", "releases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
