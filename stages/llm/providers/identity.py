"""What tells one language model in this process from another, without loading it or a library that could."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from stages import gguf, hub
from stages.errors import GlossaError, said
from stages.outputs import file_sha256, fingerprint

KEY = "models.*"
"""Where in params.yaml its options are."""

DECIDING = frozenset({".bin", ".jinja", ".json", ".model", ".safetensors", ".txt"})
"""Suffixes of the files that decide what a model in a folder says: weights, configuration, tokenizer, chat template."""


@lru_cache
def identity(model: str, revision: str | None, dtype: str) -> str:
    """Returns the sha256 of all that decides what a model says: its file or files, or its repository and commit, and its type.

    Raises:
        GlossaError: there is neither such a folder nor such a repository.
    """
    from huggingface_hub.errors import HTTPError

    if file := gguf.find(model, f"{KEY}.model"):
        return fingerprint({"dtype": dtype, "gguf": gguf.sha256(file)})
    folder = Path(model)
    if folder.is_dir():
        files = sorted(file for file in folder.iterdir() if file.suffix in DECIDING)
        return fingerprint({"dtype": dtype, "files": {file.name: file_sha256(file) for file in files}})
    try:
        return fingerprint({"dtype": dtype, "repository": model, "commit": hub.pin(model, revision)})
    except (OSError, ValueError, HTTPError) as error:
        why = hub.reason(error, model, revision) or said(error)
        raise GlossaError(f"{KEY}.model should be a causal language model, but {model} is not here: {why}") from None
