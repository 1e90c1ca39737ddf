"""The explanations as named artifacts in dvc.yaml, for ``dvc artifacts get`` and the registries that read its tags."""

from __future__ import annotations

import json
from itertools import product

from stages import paths
from stages.params import Params


def lines(p: Params) -> list[str]:
    """Returns an entry of ``artifacts:`` for the explanations of every coder by every explainer, in the order of params.yaml.

    Each is one output of the pipeline, so dvc.lock has its hash. Names hold what GTO allows in a tag, except that it
    turns down one that ends with an underscore.
    """
    return [_entry(coder, explainer) for coder, explainer in product(p.coders, p.explainers)]


def _entry(coder: str, explainer: str) -> str:
    described = f"Explanations of the latents of {coder} by {explainer}"
    # Quoted, because a name may be one that YAML would take for a number or a boolean.
    labels = json.dumps([coder, explainer])
    path = paths.explanations(coder, explainer).as_posix()
    return f"explanations-{coder}-{explainer}: {{path: {path}, type: dataset, desc: {described}, labels: {labels}}}"
