"""Stage ``cache``: data/tokens, the subject and a coder -> data/latents/<coder>.zarr."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages import params, paths, plan
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, check_name
from stages.machine import runtime
from stages.machine.progress import bar
from stages.outputs import new_directory

if TYPE_CHECKING:
    from stages.latents.capture import Target
    from stages.latents.merge import Map
    from stages.machine.scratch import Scratch
    from stages.subject.load import Subject


LOOKED_AT = 2048
"""Tokens on which a coder is tried before the forward pass."""


@click.command("cache")
@click.argument("coder")
def command(coder: str) -> None:
    """Store where and how strongly the latents of CODER fire.

    The same forward pass also leaves the activations of the other coders in scratch, for the stages that follow. What was
    computed before is taken from where it is kept, without one.
    """
    p = params.only(params.load(), "seed", "subject", "cache", "coders")
    check_name("coder", coder, p.coders)
    tokens = Tokens.open()

    import numpy as np

    from stages.latents import capture, job, kept, workers
    from stages.latents.output import output
    from stages.machine.scratch import Scratch
    from stages.subject import lazy, load

    settings = runtime.load()
    devices = ["auto"] if settings.device_map else workers.devices_of(settings.device, settings.workers)
    # A device that is named is refused if it is not there; those that `auto` found are there, and sleep until they are needed.
    if devices[0] == settings.device:
        load.pick_device(settings.device)
    subject = lazy.load(plan.subject_of(p, coder), p.seed, devices[0], settings.device_map)
    parts = capture.ranges(tokens.rows, tokens.context_length)
    subject.check_fits(
        tokens.context_length, max(int(np.asarray(tokens.array[first:end]).max()) for first, end in parts)
    )
    scratch = Scratch(settings.scratch or str(runtime.home() / "scratch"))

    own = job.open_target(p, coder, subject, tokens, scratch)
    about, attributes = kept.about(own, subject, tokens), _attributes(own, subject, tokens)
    n_events = kept.take(coder, about, paths.latents(coder), attributes, lambda: output(own.coder, subject, tokens))
    how = "; taken from the store that was kept"
    if n_events is None:
        n_events, left = _made(p, own, subject, tokens, scratch, devices, attributes)
        how = f"; left runs of {', '.join(left)} in scratch" if left else ""
        kept.keep(coder, about, paths.latents(coder))
        for name in left:  # while the subject is loaded
            with suppress(GlossaError):  # its own stage will say what is wrong with it
                output(job.open_target(p, name, subject, tokens, scratch).coder, subject, tokens)
    own.folder.remove()
    ordinary = tokens.rows * tokens.context_length - tokens.meta["special_positions"]
    click.echo(f"cache {coder}: {n_events:,} activations, {n_events / max(1, ordinary):.2f} a token{how}")


def _made(
    p: params.Params,
    own: Target,
    subject: Subject,
    tokens: Tokens,
    scratch: Scratch,
    devices: Sequence[str],
    attributes: dict[str, Any],
) -> tuple[int, list[str]]:
    """Writes the store by a forward pass; returns how many events are in it, and the other coders that the pass has left runs of."""
    from stages.latents import capture, job, workers
    from stages.latents.merge import merge
    from stages.latents.output import output

    settings = runtime.load()
    rows, length = tokens.rows, tokens.context_length

    def look(found: Target) -> None:
        # Its own stage will find its runs, and make no pass before which to tell of it.
        if None in capture.finished(found, rows, length):
            _say_doubts(found, subject, tokens)

    targets, runs = [own], {own.name: capture.finished(own, rows, length)}
    if None in runs[own.name]:  # such a coder read its hookpoint, if there are runs
        capture.check_fits(subject, own, tokens)
        _say_doubts(own, subject, tokens)
        for other in job.others(p, own, subject, tokens, scratch, look) if settings.share_forward else ():
            targets.append(other)
            runs[other.name] = capture.finished(other, rows, length)
    ranges = [
        workers.Range(first, end, tuple(name for name in runs if runs[name][place] is None))
        for place, (first, end) in enumerate(capture.ranges(rows, length))
    ]
    ranges = [part for part in ranges if part.names]
    work = job.Job(
        params=p,
        names=tuple(runs),
        root=str(Path.cwd()),
        scratch=scratch,
        context_length=length,
        device_map=settings.device_map,
        batch_tokens=settings.batch_tokens,
        memory=settings.memory_mb * 2**20,
    )
    promoted = output(own.coder, subject, tokens)

    def merged(spread: Map = map) -> int:
        made = [run for run in capture.finished(own, rows, length, trusted=True) if run is not None]
        with new_directory(paths.latents(own.name)) as partial:
            return merge(made, partial.absolute(), rows, length, attributes, promoted, spread)

    if not ranges:
        return merged(), []
    with bar("forward", sum(part.end - part.first for part in ranges) * length, "token") as progress:
        if settings.ray:
            opened = workers.on_ray(settings.ray, work, settings.workers, progress.update)
        else:
            opened = workers.on_this_machine(work, devices, work.over(subject, targets, tokens), progress.update)
        with opened as hands:
            workers.capture_all(hands, ranges)
            progress.close()
            n_events = merged(workers.merge_map(hands))
    return n_events, [t.name for t in targets[1:] if None not in capture.finished(t, rows, length, trusted=True)]


def _say_doubts(own: Target, subject: Subject, tokens: Tokens) -> None:
    """Prints one warning if the coder reconstructs the first tokens far worse than a coder can."""
    import numpy as np
    import torch

    from stages.coders.doubt import doubt

    rows = max(1, min(tokens.rows, LOOKED_AT // tokens.context_length))
    ids = torch.from_numpy(np.asarray(tokens.array[:rows], dtype=np.int64))
    special = torch.from_numpy(tokens.vocabulary.special)
    coder = own.coder.to(subject.device)
    if (said := doubt(subject, coder, ids, special, skipped=int(tokens.meta["bos"] is None))) is not None:
        click.echo(f"cache {own.name}: {said}; glossa coder check {own.name} tries other readings", err=True)


def _writes(own: Target, subject: Subject) -> dict[str, Any]:
    """The places to which latents of a coder write that has several."""
    from stages.subject.hookpoints import name_of

    try:
        names = [name_of(subject, write.hookpoint) for write in own.coder.writes]
    except GlossaError:  # the files name places that this subject lacks; activations do not depend on them
        return {}
    return {"writes": names} if names else {}


def _attributes(own: Target, subject: Subject, tokens: Tokens) -> dict[str, Any]:
    """What the activations were made from, and what was stored of them."""
    from stages.latents import capture, spec

    signed, bits = own.coder.activation.signed, own.kept_bits
    return {
        "schema": spec.SCHEMA,
        "version": spec.VERSION,
        "coder": {**own.coder.identity, "path": own.coder.source},
        "subject": subject.identity,
        "hookpoint": own.hookpoint,
        **_writes(own, subject),
        "dtype": capture.dtype_of(own.coder),
        "tokens_sha256": tokens.sha256,
        "rows": tokens.rows,
        "context_length": tokens.context_length,
        "stored": f"activation {'other than' if signed else 'above'} 0, at positions of ordinary tokens",
        "kept_mantissa_bits": bits,
        "max_relative_error": 0.0 if bits >= 23 else 2.0 ** -(bits + 1),
        "sign": "signed" if signed else "nonnegative",
    }
