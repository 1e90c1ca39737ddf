"""By what the results of a pair of coders are kept: the hash of everything that decides them, found without reading a weight.

Texts, vectors and the facts of firing count by their bytes, so what made them has no part in it. A coder counts by its hash, a store of
activations by the statistics of every latent in it, and of the code what a pair can reach, with the readers of the two coders' formats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stages import hub, params, paths, plan, registry
from stages.corpus.tokens import Tokens
from stages.latents.store import LatentStore
from stages.outputs import file_sha256, fingerprint
from stages.similarity import stores
from stages.similarity.sources import Explained, Known
from stages.wiring import inputs, reach

STARTS = (
    "stages.similarity.outcome:of",
    "stages.similarity.packed:pack",
    "stages.similarity.packed:unpack",
    "stages.similarity.reading:sources",
)
"""Where the code of a pair starts, but for readers."""
PACKAGES = ("numpy", "scipy", "torch")
"""Another version may draw other numbers, or round otherwise."""
STATISTICS = ("count", "max", "min", "sum", "square_sum")
"""Of a store: whatever else its activations were, these would differ."""
TELLS = (".json", ".yaml", ".yml")
"""Files beside a coder's weights, which may say where it writes; its hash covers what decides its activations alone."""


class Keys:
    """The keys of pairs of coders."""

    def __init__(
        self, p: params.Params, known: Mapping[str, Known], tokens: Tokens, device: torch.device, embedder: str | None
    ) -> None:
        """``embedder`` is the sha256 of the model and its prompt; None if there was nothing to embed."""
        self._p, self._known, self._tokens = p, known, tokens
        self._facts: dict[str, str] = {}
        self._common = {
            "match": p.compare.match,
            "seed": p.seed,
            "embedder": embedder,
            "device": device.type,
            "packages": {name: version(name) for name in PACKAGES},
        }

    def of(self, a: str, b: str) -> str:
        """Returns the key of two coders in this order, 64 hexadecimal digits.

        Raises:
            GlossaError: activations are compared, and a store is missing or damaged.
        """
        formats = [self._known[name].coder["format"] for name in (a, b)]
        code = code_of(frozenset(name for name in formats if name in registry.READERS))
        return fingerprint({**self._common, "code": code, "coders": [self._of_coder(a), self._of_coder(b)]})

    def _of_coder(self, name: str) -> str:
        if name not in self._facts:
            self._facts[name] = fingerprint(_facts(self._p, self._known[name], self._tokens))
        return self._facts[name]


@cache
def code_of(formats: frozenset[str]) -> str:
    """Returns the hash of the code that decides a pair of coders of these formats."""
    return reach.digest(reach.reached([*STARTS, *(registry.READERS[name] for name in sorted(formats))]))


def _facts(p: params.Params, coder: Known, tokens: Tokens) -> dict[str, Any]:
    """What decides the part of one coder."""
    entry = p.coders.get(coder.name)  # None if it is of another project, whose weights and stores are not read
    return {
        "name": coder.name,
        "hookpoint": coder.hookpoint,
        "control": coder.control,
        "subject": coder.subject,
        "coder": {name: coder.coder.get(name) for name in ("sha256", "repository", "commit")},
        "entry": None if entry is None else entry.model_dump(mode="json"),
        "files": _beside(entry.path) if isinstance(entry, params.Coder) else {},
        "firing": [_sha256(values) for values in coder.firing],
        "explained": [[explainer, *_said(found)] for explainer, found in coder.explained.items()],
        "store": _store(coder.name, tokens) if entry is not None and plan.reads_stores(p.compare) else None,
    }


def _said(found: Explained) -> list[str]:
    return [_sha256(found.latents), fingerprint(found.texts), _sha256(found.vectors)]


def _store(coder: str, tokens: Tokens) -> list[Any]:
    store = LatentStore.open(paths.latents(coder))
    statistics = [_sha256(store.statistic(name)) for name in STATISTICS]
    return [store.meta, _sha256(store.indptr), statistics, stores.ordinary(tokens), stores.skipped_of(coder)]


def _beside(path: str) -> dict[str, str]:
    """{file: its sha256} of what may tell more of a coder than its weights; of one on the Hub its commit says as much."""
    if not inputs.is_local(path):
        return {}
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    folders = [folder, folder.parent] if folder.name == hub.CHECKPOINTS else [folder]
    found = sorted(file for folder in folders if folder.is_dir() for file in folder.iterdir() if file.is_file())
    names = [file for file in found if file.suffix in hub.WEIGHTS]  # a layer may be told by the name of a file
    return dict.fromkeys((file.as_posix() for file in names), "") | {
        file.as_posix(): file_sha256(file) for file in found if file.suffix in TELLS
    }


def _sha256(values: NDArray[Any]) -> str:
    found = hashlib.sha256(f"{values.dtype} {values.shape}\n".encode())
    found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()
