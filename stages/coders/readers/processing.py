"""Which coders of SAELens were trained on a subject that TransformerLens had processed.

By default TransformerLens folds the norms into the weights, centres what is written to the residual stream of a model with
LayerNorm, and moves the constant that attention heads read, their value biases, behind the heads. The model predicts the same, but
its residual stream and what its sublayers write lack their mean over the width, and ``hook_z`` a constant vector. SAELens trained
on such models up to 3.19.1, on models as they are published since.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from stages.coders.readers import files

State = Literal["plain", "centred", "folded", "unknown"]
"""What a coder read: the subject as it is, without its mean, without its value biases, or nobody says which."""

UNPROCESSED_SINCE = (3, 19, 2)
CENTRED = re.compile(r"(blocks\.\d+\.)?hook_(resid_pre|resid_mid|resid_post|attn_out|mlp_out|embed|pos_embed|out|in)")
HEADS = re.compile(r"blocks\.\d+\.attn\.hook_z")
RMS_NORM = re.compile(
    r"gemma|llama|mistral|mixtral|qwen|phi-?[34]|olmo-?2|olmo-?3|deepseek|smollm|yi-|gpt-oss|granite|t5", re.IGNORECASE
)
"""Models whose residual stream TransformerLens leaves as it is, since their norms don't take the mean away."""

CENTRED_IDS = re.compile(r"gpt2-small/\d+-(res(_fs\d+)?-jb|mlp-tm|res_(sce|scefr|scl|sle|slefr|sll)-ajt)")
"""gpt2-small-res-jb, its feature-splitting twin, gpt2-small-mlp-tm and the end-to-end coders."""
PLAIN_IDS = re.compile(r"gpt2-small/\d+-\w*-oai|pythia-70m-deduped/(e|\d+)-(res|mlp|att)-sm")
"""Coders of OpenAI and of Marks and others, who trained outside of SAELens."""


def state(config: Mapping[str, Any], metadata: Mapping[str, Any], folder: Path, old: bool) -> State:
    """Returns what a coder of SAELens read, which its files, its folder's name or what is published of it say.

    Of ``old`` ones, from before version 6, the version can't be guessed where it is missing.
    """
    hook, model = str(metadata.get("hook_name")), str(metadata.get("model_name"))
    arguments = metadata.get("model_from_pretrained_kwargs")
    arguments = arguments if isinstance(arguments, dict) else {}
    if HEADS.fullmatch(hook):
        if "fold_value_biases" in arguments:
            return "folded" if arguments["fold_value_biases"] else "plain"
        return "folded" if _before(metadata) else "plain"
    if not CENTRED.fullmatch(hook) or config.get("normalize_activations") == "layer_norm":
        return "plain"  # it is the same in both, or the mean is taken away anyway
    if "center_writing_weights" in arguments:
        return "centred" if arguments["center_writing_weights"] else "plain"
    published = files.text(metadata, "neuronpedia_id") or f"{model}/{folder.name}"
    if CENTRED_IDS.fullmatch(published):
        return "centred"
    if RMS_NORM.search(model) or PLAIN_IDS.fullmatch(published):
        return "plain"
    processed = _before(metadata)
    if processed is None:
        return "unknown" if old else "plain"
    return "centred" if processed else "plain"


def _before(metadata: Mapping[str, Any]) -> bool | None:
    """Whether it was trained by a SAELens that processed subjects; None if its files don't say by which."""
    version = files.text(metadata, "sae_lens_training_version")
    found = re.match(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", version or "")
    if found:
        return tuple(int(part or 0) for part in found.groups()) < UNPROCESSED_SINCE
    return True if metadata.get("hook_point") else None  # a spelling that went before versions were noted
