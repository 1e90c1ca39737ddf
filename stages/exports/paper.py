"""``paper``: as the data of arXiv:2410.13928 were released, a JSON object {latent: explanation} for every hookpoint.

The release says ``Gemma/16k/res/model.layers.5_feature.json``; the coder's name stands in the place of width and kind.
"""

from __future__ import annotations

import json
from pathlib import Path

from stages import paths
from stages.examples.table import Examples
from stages.explainers.table import texts
from stages.params import Params


def write(p: Params, folder: Path) -> str:
    """Writes ``<explainer>/<coder>/<module>_feature.json``; see ``exports.Export``."""
    n = 0
    for coder in p.coders:
        module = module_name(Examples.open(paths.examples(coder)).meta["hookpoint"])
        for explainer in p.explainers:
            found = texts(paths.explanations(coder, explainer))
            path = folder / explainer / coder / f"{module}_feature.json"
            path.parent.mkdir(parents=True)
            named = {str(latent): text for latent, text in found.items()}
            path.write_text(json.dumps(named, ensure_ascii=False), encoding="utf-8")
            n += len(found)
    return f"{n} explanations"


def module_name(hookpoint: str) -> str:
    """The hookpoint as a module of the whole model: ``layers.5`` of its base is ``model.layers.5``; a slash becomes a dot."""
    name = f"model.{hookpoint}" if hookpoint.startswith("layers.") else hookpoint
    return name.replace("/", ".")
