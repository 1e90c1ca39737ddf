"""The embeddings of explanations, wherever they are: in data/similarity, in Glossa's home, or not yet made."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from stages import params, paths
from stages.embeddings import embedder, memo
from stages.embeddings.embedder import Embedder
from stages.machine import runtime
from stages.similarity import table


def load(p: params.Params) -> Embedder:
    """Returns the embedder of params.yaml, set up to compare meanings."""
    settings = runtime.load()
    return embedder.load(p.compare.embedder, settings.device, settings.embed_at_once).comparing(p.compare.prompt)


def vectors(p: params.Params, texts: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """Returns {text: vector at unit norm}; no model is loaded for no text."""
    return _embed(load(p), texts) if texts else {}


def query(p: params.Params, text: str, texts: Collection[str]) -> tuple[NDArray[np.float32], dict[str, NDArray]]:
    """Returns the vector of ``text`` and those of ``texts``."""
    model = load(p)
    return model.encode([text])[0], _embed(model, texts)


def _embed(model: Embedder, texts: Collection[str]) -> dict[str, NDArray[np.float32]]:
    known = {}
    if (paths.SIMILARITY / "meta.json").is_file():
        found, meta = table.read_embeddings(paths.SIMILARITY)
        if meta["embedder"] is not None and meta["embedder"]["sha256"] == model.identity["sha256"]:
            known = found
    return memo.embed(model, sorted(texts), known)
