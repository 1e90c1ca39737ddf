"""Sparse coders: one canonical form, a reader for every format they are saved in, and two controls."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch

from stages import hub
from stages.coders import neurons, random
from stages.coders.readers import (
    Options,
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    llama_scope,
    llamascopium,
    openai,
    plain,
    saelens,
    saelens_old,
    sparsify,
)
from stages.coders.readers.files import shown
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.params import AnyCoder, Neurons, RandomCoder
from stages.subject.hookpoints import activations
from stages.subject.load import Subject

READERS = {
    "sparsify": sparsify,
    "saelens": saelens,
    "saelens_old": saelens_old,
    "gemma_scope": gemma_scope,
    "gemma_scope_2": gemma_scope_2,
    "openai": openai,
    "dictionary_learning": dictionary_learning,
    "llama_scope": llama_scope,
    "llamascopium": llamascopium,
    "circuit_tracer": circuit_tracer,
    "plain": plain,
}


def load(path: str, options: Options | None = None) -> SparseCoder:
    """Reads the coder at ``path``, a folder, a file or ``hub://owner/repository/folder@revision``; its format is detected.

    Raises:
        GlossaError: there is nothing, no format or more than one fits, the files are damaged, or the Hub does not give them.
    """
    fetched = hub.fetch(path) if path.startswith(hub.SCHEME) else None
    place = fetched.path if fetched else Path(path)
    if not place.exists():
        raise GlossaError(
            f"a coder's path should be a folder or a file, but there is none at {path}; correct it{_instead(path)}"
        )
    fitting = formats(place)
    if not fitting and (inside := _coders_inside(place, fetched)):
        raise GlossaError(
            f"expected one sparse coder in {path}, found some in folders inside it; point at one of {inside}"
        )
    if not fitting:
        found = ", ".join(sorted(file.name for file in place.iterdir())) if place.is_dir() else "a file of another kind"
        raise GlossaError(
            f"expected a sparse coder in {path}, found {found or 'nothing'}; docs/coders.md lists the files by which the formats are "
            f"told ({', '.join(READERS)})"
        )
    if len(fitting) > 1:
        raise GlossaError(
            f"expected one sparse coder in {path}, found the formats {' and '.join(fitting)}; keep the files of one"
        )
    coder = READERS[fitting[0]].read(place, options or Options())
    if fetched is None:
        return coder
    origin = {"repository": fetched.repository, "commit": fetched.commit}  # the hash is of the content alone
    return replace(coder, source=path, identity={**coder.identity, **origin})


def _instead(path: str) -> str:
    """What else to write for a path that is not here: an address, if it looks like one of the Hub."""
    match = re.fullmatch(r"(?:hf://|https://huggingface\.co/)?([\w-][\w.-]*/[\w-][\w.-]*(?:/.*)?(?:@.*)?)", path)
    return f", or write {hub.SCHEME}{re.sub('/tree/[^/]+', '', match[1])} if it is on the Hub" if match else ""


def formats(place: Path) -> list[str]:
    """Returns the formats whose files lie at ``place``."""
    return [name for name, reader in READERS.items() if reader.detect(place)]


def _coders_inside(place: Path, fetched: hub.Fetched | None) -> str:
    """The folders inside ``place`` that hold a coder, such as those of a training run; here up to two levels down."""
    if fetched is not None:
        return hub.coders_inside(fetched.repository, fetched.commit, fetched.inside)
    folders = sorted({file.parent for pattern in ("*/*", "*/*/*") for file in place.glob(pattern)})
    return shown(", ".join(str(folder.relative_to(place)) for folder in folders if formats(folder)))


def from_params(name: str, entry: AnyCoder, seed: int, subject: Subject | None = None) -> SparseCoder:
    """Returns the coder ``coders.<name>`` of params.yaml, with its hookpoint; a control is made from the ``subject``.

    Raises:
        GlossaError: it can't be read or made, or nothing says where it reads the subject.
        ValueError: it is a control, and there is no subject.
    """
    if isinstance(entry, Neurons | RandomCoder):
        if subject is None:
            raise ValueError(f"the control {name} is made from a subject")
        if isinstance(entry, Neurons):
            return neurons.load(subject, entry.hookpoint, entry.k)
        width = activations(subject, [entry.hookpoint], torch.zeros(1, 1, dtype=torch.long))[entry.hookpoint].shape[-1]
        return random.load(width, entry.hookpoint, entry.latents, entry.k, (seed, entry.seed))
    coder = load(entry.path, Options(entry.norm_factor, entry.centre))
    hookpoint = entry.hookpoint or coder.hookpoint
    if hookpoint is None:
        raise GlossaError(
            f"params.yaml: coders.{name} should have a hookpoint, as the files in {entry.path} do not say where they read the "
            "subject; add it"
        )
    return replace(coder, hookpoint=hookpoint)
