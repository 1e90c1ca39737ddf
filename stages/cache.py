"""Stage ``cache``: data/tokens, the subject and a coder -> data/latents/<coder>.zarr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stages import params, paths, plan
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, nearest
from stages.machine import runtime
from stages.machine.progress import bar
from stages.outputs import new_directory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.latents.capture import Target
    from stages.machine.scratch import Scratch
    from stages.subject.load import Subject


@click.command("cache")
@click.argument("coder")
def command(coder: str) -> None:
    """Store where and how strongly the latents of CODER fire.

    The same forward pass also leaves the activations of the other coders in scratch, for the stages that follow. What was
    computed before is taken from where it is kept, without one.
    """
    p = params.only(params.load(), "seed", "subject", "cache", "coders")
    if coder not in p.coders:
        raise GlossaError(f"params.yaml has no coder {coder}; {nearest(coder, p.coders)}")
    tokens = Tokens.open()

    import numpy as np

    from stages.latents import capture, job, kept, workers
    from stages.machine.scratch import Scratch
    from stages.subject import load

    knobs = runtime.load()
    devices = ["auto"] if knobs.device_map else workers.devices_of(knobs.device, knobs.workers)
    subject = load.load(plan.subject_of(p, coder), p.seed, load.pick_device(devices[0]), knobs.device_map)
    parts = capture.ranges(tokens.rows, tokens.context_length)
    subject.check_fits(
        tokens.context_length, max(int(np.asarray(tokens.array[first:end]).max()) for first, end in parts)
    )
    scratch = Scratch(knobs.scratch or str(runtime.home() / "scratch"))

    own = job.open_target(p, coder, subject, tokens, scratch)
    about, attributes = kept.about(own, subject, tokens), _attributes(own, subject, tokens)
    n_events = kept.take(coder, about, paths.latents(coder), attributes, lambda: _output(own, subject, tokens))
    how = "; taken from the store that was kept"
    if n_events is None:
        n_events, left = _made(p, own, subject, tokens, scratch, devices, attributes)
        how = f"; left runs of {', '.join(left)} in scratch" if left else ""
        kept.keep(coder, about, paths.latents(coder))
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

    knobs = runtime.load()
    rows, length = tokens.rows, tokens.context_length
    capture.check_fits(subject, own, tokens)
    targets, runs = [own], {own.name: capture.finished(own, rows, length)}
    if None in runs[own.name] and knobs.share_forward:
        for other in job.others(p, own, subject, tokens, scratch):
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
        device_map=knobs.device_map,
        batch_tokens=knobs.batch_tokens,
        memory=knobs.memory_mb * 2**20,
    )
    output = _output(own, subject, tokens)
    with bar("forward", sum(part.end - part.first for part in ranges) * length, "token") as progress:
        if knobs.ray and ranges:
            opened = workers.on_ray(knobs.ray, work, knobs.workers, progress.update)
        else:
            here = work.over(subject, targets, tokens)
            opened = workers.on_this_machine(work, devices if ranges else devices[:1], here, progress.update)
        with opened as hands:
            workers.capture_all(hands, ranges)
            progress.close()
            made = [run for run in capture.finished(own, rows, length, trusted=True) if run is not None]
            with new_directory(paths.latents(own.name)) as partial:
                spread = workers.merge_map(hands)
                n_events = merge(made, partial.absolute(), rows, length, attributes, output, spread)
    return n_events, [t.name for t in targets[1:] if None not in capture.finished(t, rows, length, trusted=True)]


def _output(own: Target, subject: Subject, tokens: Tokens) -> dict[str, NDArray]:
    """What every latent promotes; nothing where that is undefined."""
    import torch

    from stages.coders import directions
    from stages.subject.unembedding import promoted

    written = directions.residual(own.coder, subject)
    lens = None if written is None else promoted(subject, written, torch.from_numpy(tokens.vocabulary.special))
    return {} if lens is None else {name: part.numpy() for name, part in lens._asdict().items()}


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
        "dtype": capture.dtype_of(own.coder),
        "tokens_sha256": tokens.sha256,
        "rows": tokens.rows,
        "context_length": tokens.context_length,
        "stored": f"activation {'other than' if signed else 'above'} 0, at positions of ordinary tokens",
        "kept_mantissa_bits": bits,
        "max_relative_error": 0.0 if bits >= 23 else 2.0 ** -(bits + 1),
        "sign": "signed" if signed else "nonnegative",
    }
