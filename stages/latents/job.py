"""From params.yaml to what a capture works with, in any process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import psutil
import torch

from stages import coders, paths, plan
from stages.coders import beginnings
from stages.coders.sparse_coder import SparseCoder
from stages.corpus.encode import find_tokenizer
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.latents import kept, spec
from stages.latents.capture import Capture, Target, check_fits, target
from stages.machine.scratch import Scratch
from stages.params import Params
from stages.subject import load
from stages.subject.hookpoints import name_of
from stages.subject.load import Subject
from stages.wiring.coder import address

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
        section = plan.subject_of(self.params, self.names[0])
        subject = load.load(section, self.params.seed, device, self.device_map)
        tokens = Tokens.open()
        targets = (open_target(self.params, name, subject, tokens, self.scratch) for name in self.names)
        return self.over(subject, targets, tokens)

    def over(self, subject: Subject, targets: Iterable[Target], tokens: Tokens) -> Capture:
        """A capture of what is loaded already, or is loaded one after the other."""
        moved = [replace(found, coder=found.coder.to(subject.device)) for found in map(bare, targets)]
        return Capture(subject, moved, tokens, self.batch_tokens, self.memory)


def open_target(p: Params, name: str, subject: Subject, tokens: Tokens, scratch: Scratch) -> Target:
    """Loads a coder, in the type that ``cache.dtype`` names; whether it fits the subject is for ``capture.check_fits``.

    Raises:
        GlossaError: it can't be read, the subject has no such hookpoint, or the rows begin otherwise than those of its training.
    """
    coder = coders.from_params(name, p.coders[name], p.seed, subject)
    _check_beginning(p, name, coder, tokens)
    coder = coder.to(coder.device, getattr(torch, p.cache.dtype))
    assert coder.hookpoint is not None  # from_params sees to it
    hookpoint = name_of(subject, coder.hookpoint)
    return target(name, coder, hookpoint, spec.kept_bits(p.cache.precision), subject, tokens, scratch)


def _check_beginning(p: Params, name: str, coder: SparseCoder, tokens: Tokens) -> None:
    """Raises GlossaError if the files of a coder say that rows began otherwise in its training."""
    bos = tokens.meta["bos"]
    if coder.prepend_bos in (None, bos is not None):
        return
    tokenizer, _ = find_tokenizer(p.subject.model, p.subject.revision)
    first = None if bos is None else tokens.vocabulary.strings[bos]
    wrong = beginnings.said(
        coder.source, coder.prepend_bos, first, None if tokenizer is None else beginnings.token(tokenizer)
    )
    raise GlossaError(f"coders.{name}: {wrong}, or, if its files are wrong in that, correct them there")


def others(
    p: Params,
    own: Target,
    subject: Subject,
    tokens: Tokens,
    scratch: Scratch,
    look: Callable[[Target], object] = id,
) -> Iterator[Target]:
    """Yields the other coders that still need the forward pass of ``own``, as long as memory for them is left.

    Those whose events are kept don't. Each is shown to ``look`` while it still has its decoder.
    """
    contents = kept.contents()
    room = SHARE * _free_memory(subject.device) - _bytes(own)
    names = [name for name in p.coders if name != own.name and plan.subject_of(p, name) == plan.subject_of(p, own.name)]
    done = _up_to_date([name for name in names if paths.latents(name).exists()])
    for name in names:
        if name in done:
            continue
        try:
            whole = open_target(p, name, subject, tokens, scratch)
            other = bare(whole)
            if contents.has(kept.about(other, subject, tokens)):
                continue
            check_fits(subject, other, tokens)
        except GlossaError:
            continue  # its own stage will say what is wrong with it
        room -= _bytes(other)
        if room < 0:
            return
        look(whole)
        yield other


def bare(found: Target) -> Target:
    """The target without what only decoding needs, which is half of it."""
    return replace(found, coder=replace(found.coder, W_dec=None, W_skip=None, writes=()))


def _up_to_date(names: Sequence[str]) -> set[str]:
    """Those of the coders with a store whose stage DVC would not run again, or all of them where DVC can't tell.

    Runs for one of those would lie in scratch for ever, as nothing would fetch them.
    """
    if not names:
        return set()
    stages = {name: address(name, "cache") for name in names}
    command = [sys.executable, "-m", "dvc", "status", "--json", *stages.values()]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    try:
        changed = json.loads(done.stdout) if done.returncode == 0 else {}
    except ValueError:
        changed = {}
    return {name for name in names if stages[name] not in changed}


def _bytes(found: Target) -> int:
    coder = found.coder
    tensors = chain([coder.W_enc, coder.b_enc], vars(coder.activation).values())
    return sum(part.nbytes for part in tensors if isinstance(part, torch.Tensor))


def _free_memory(device: torch.device) -> int:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
