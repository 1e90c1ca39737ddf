"""From params.yaml to what a capture works with, in any process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import psutil
import torch

from stages import coders, paths
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.latents import spec
from stages.latents.capture import Capture, Target, check_fits, dtype_of, target
from stages.latents.scratch import Scratch
from stages.latents.store import LatentStore
from stages.params import Coder, Params
from stages.subject import load
from stages.subject.hookpoints import resolve
from stages.subject.load import Subject

SHARE = 0.5
"""Of the memory that is free, what the coders of one pass may take."""


@dataclass(frozen=True)
class Job:
    """All that another process needs to make the same runs."""

    params: Params
    names: tuple[str, ...]
    """Coders, the wanted one first."""
    root: str
    """The repository, to which paths are relative."""
    scratch: Scratch
    context_length: int
    device_map: str | None
    batch_tokens: int | None
    memory: int

    def start(self, device_name: str) -> Capture:
        """Loads the subject and the coders on a device."""
        device = load.pick_device(device_name)
        section = self.params.subject_of(self.names[0])
        subject = load.load(section, self.params.seed, device, self.device_map)
        tokens = Tokens.open()
        targets = [open_target(self.params, name, subject, tokens, self.scratch) for name in self.names]
        return self.over(subject, targets, tokens)

    def over(self, subject: Subject, targets: Sequence[Target], tokens: Tokens) -> Capture:
        """A capture with what is loaded already."""
        return Capture(subject, [encoder(found, subject) for found in targets], tokens, self.batch_tokens, self.memory)


def open_target(p: Params, name: str, subject: Subject, tokens: Tokens, scratch: Scratch) -> Target:
    """Loads a coder, in the type that ``cache.dtype`` names.

    Raises:
        GlossaError: it can't be read, or does not fit the subject.
    """
    coder = coders.from_params(name, p.coders[name], p.seed, subject)
    coder = coder.to(coder.device, getattr(torch, p.cache.dtype))
    assert coder.hookpoint is not None  # from_params sees to it
    hookpoint = resolve(subject, coder.hookpoint).name
    found = target(name, coder, hookpoint, spec.kept_bits(p.cache.precision), subject, tokens, scratch)
    check_fits(subject, found, tokens)
    return found


def others(p: Params, own: Target, subject: Subject, tokens: Tokens, scratch: Scratch) -> Iterator[Target]:
    """Yields the other coders that still need the forward pass of ``own``, as long as memory for them is left."""
    room = SHARE * _free_memory(subject.device) - _bytes(own)
    for name, section in p.coders.items():
        if name == own.name or p.subject_of(name) != p.subject_of(own.name):
            continue
        if isinstance(section, Coder) and _is_stored(section, own, paths.latents(name), subject, tokens):
            continue
        try:
            other = open_target(p, name, subject, tokens, scratch)
        except GlossaError:
            continue  # its own stage will say what is wrong with it
        room -= _bytes(other)
        if room < 0:
            return
        yield other


def encoder(found: Target, subject: Subject) -> Target:
    """The target on the subject's device, without what only decoding needs."""
    coder = replace(found.coder, W_dec=None, W_skip=None).to(subject.device)
    return replace(found, coder=coder)


def _is_stored(section: Coder, own: Target, path: Path, subject: Subject, tokens: Tokens) -> bool:
    """Whether the store at ``path`` seems to hold what would be made for ``section``, as far as can be told without its files."""
    try:
        meta = LatentStore.open(path).meta
    except GlossaError:
        return False
    found = (meta["coder"]["path"], meta["subject"]["sha256"], meta["tokens_sha256"])
    same = (meta["dtype"], meta["kept_mantissa_bits"]) == (dtype_of(own.coder), own.kept_bits)
    at_hand = section.hookpoint is None or resolve(subject, section.hookpoint).name == meta["hookpoint"]
    return same and at_hand and found == (section.path, subject.identity["sha256"], tokens.sha256)


def _bytes(found: Target) -> int:
    coder = found.coder
    tensors = chain([coder.W_enc, coder.b_enc], vars(coder.activation).values())
    return sum(part.nbytes for part in tensors if isinstance(part, torch.Tensor))


def _free_memory(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
