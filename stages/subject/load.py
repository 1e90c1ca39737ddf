"""Loading the subject, and the identity of what was loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stages import params
from stages.errors import GlossaError
from stages.outputs import file_sha256, fingerprint


@dataclass(frozen=True)
class Subject:
    """A causal language model in inference mode, and the hash of all that decides its activations."""

    model: Any
    name: str
    identity: dict[str, Any]
    device: torch.device

    @property
    def base(self) -> nn.Module:
        """The model without its language-modelling head; hookpoints are relative to it."""
        return self.model.base_model

    @property
    def vocabulary_size(self) -> int:
        """Rows of the input embedding."""
        return self.model.get_input_embeddings().weight.shape[0]

    def check_fits(self, context_length: int, largest_token: int) -> None:
        """Raises GlossaError if rows of ``context_length`` with ids up to ``largest_token`` can't go through it."""
        if largest_token >= self.vocabulary_size:
            raise GlossaError(
                f"the tokens go up to id {largest_token}, but the subject {self.name} embeds {self.vocabulary_size} "
                "tokens; its tokenizer belongs to another model"
            )
        limit = getattr(self.model.config, "max_position_embeddings", None)
        if limit is not None and context_length > limit:
            raise GlossaError(
                f"corpus.context_length should be at most {limit}, the longest row that the subject {self.name} reads, "
                f"found {context_length}"
            )


def pick_device(name: str) -> torch.device:
    """Returns the device that runtime.yaml names, or the best one there is for ``auto``."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise GlossaError(f"runtime device should be one that torch can use, but {name} is not: {error}") from None
    return device


def load(section: params.Subject, seed: int, device: torch.device) -> Subject:
    """Loads the subject, or builds a randomly initialised one of the same shape when ``weights`` is ``random``.

    Raises:
        GlossaError: the folder or repository can't be loaded as a causal language model, or lacks some of its weights.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model = _random(section, seed) if section.weights == "random" else _trained(section)
    except (OSError, ValueError, SafetensorError) as error:
        first = " ".join(str(error).split("\n")[0].split())
        raise GlossaError(
            f"subject.model should be a causal language model, but {section.model} can't be loaded: {first}"
        ) from None
    model.eval().requires_grad_(requires_grad=False).to(device)
    commit = getattr(model.config, "_commit_hash", None)
    return Subject(model, section.model, _identity(section, seed, commit), device)


def _trained(section: params.Subject) -> Any:
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        section.model,
        revision=section.revision,
        dtype=getattr(torch, section.dtype),
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report
    )
    model, report = loaded
    # Transformers fills these with random numbers and only warns.
    unread = sorted({*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])})
    if unread:
        raise GlossaError(
            f"subject.model {section.model} should hold all weights of its architecture, but {unread[0]} is missing or "
            f"of another shape ({len(unread)} in all); save it again as a causal language model"
        )
    return model


def _random(section: params.Subject, seed: int) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(section.model, revision=section.revision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, section.dtype))


def _identity(section: params.Subject, seed: int, commit: str | None) -> dict[str, Any]:
    """What was loaded, and the hash of it; a folder counts by its files, a repository by its name and commit."""
    folder = Path(section.model)
    identity: dict[str, Any] = {"weights": section.weights, "dtype": section.dtype}
    if section.weights == "random":
        identity["seed"] = seed
    if folder.is_dir():
        names = ["config.json"]
        if section.weights == "trained":
            names += sorted(file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".bin"))
        identity["files"] = {name: file_sha256(folder / name) for name in names}
    else:
        identity |= {"repository": section.model, "revision": commit or section.revision}
    return {"model": section.model, **identity, "sha256": fingerprint(identity)}
