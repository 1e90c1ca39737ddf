"""Stage ``cache``: data/tokens, the subject and a coder -> data/latents/<coder>.zarr."""

from __future__ import annotations

import shutil

import click

from stages import params, paths, runtime
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, nearest
from stages.outputs import new_directory


@click.command("cache")
@click.argument("coder")
def command(coder: str) -> None:
    """Store where and how strongly the latents of CODER fire.

    The same forward pass also leaves the activations of the other coders in scratch, for the stages that follow.
    """
    p = params.load()
    if coder not in p.coders:
        raise GlossaError(f"params.yaml has no coder {coder}; {nearest(coder, p.coders)}")
    tokens = Tokens.open()

    import torch

    from stages import coders
    from stages.latents import capture, spec
    from stages.latents.merge import merge
    from stages.subject import load
    from stages.subject.unembedding import promoted

    loaded = coders.load(p.coders[coder].path)
    knobs = runtime.load()
    device = load.pick_device(knobs.device)
    subject = load.load(p.subject, p.seed, device)
    subject.check_fits(tokens.context_length, int(tokens.matrix.max()))
    scratch = runtime.home() / "scratch"
    bits = spec.kept_bits(p.cache.precision)

    def target_of(name: str, coder: coders.SparseCoder) -> capture.Target:
        hookpoint = p.coders[name].hookpoint
        target = capture.target(name, coder.to(device), hookpoint, bits, subject, tokens, scratch)
        capture.check_fits(subject, target, tokens)
        return target

    targets = [target_of(coder, loaded)]
    if None in capture.finished(targets[0], tokens.rows, tokens.context_length) and knobs.share_forward:
        for name, section in p.coders.items():
            if name == coder:
                continue
            try:
                other = target_of(name, coders.load(section.path))
            except GlossaError:
                continue  # its own stage will say what is wrong with it
            if not capture.is_stored(other, paths.latents(name), subject, tokens):
                targets.append(other)
    capture.capture(subject, targets, tokens, knobs.batch_tokens)

    own = targets[0]
    runs = [run for run in capture.finished(own, tokens.rows, tokens.context_length) if run is not None]
    special = torch.from_numpy(tokens.vocabulary.special)
    directions = promoted(subject, own.coder.W_dec, special)
    attributes = {
        "schema": spec.SCHEMA,
        "version": spec.VERSION,
        "coder": {**loaded.identity, "path": p.coders[coder].path},
        "subject": subject.identity,
        "hookpoint": own.hookpoint,
        "tokens_sha256": tokens.sha256,
        "rows": tokens.rows,
        "context_length": tokens.context_length,
        "stored": "activation above 0, at positions of ordinary tokens",
        "kept_mantissa_bits": bits,
        "max_relative_error": 0.0 if bits >= 23 else 2.0 ** -(bits + 1),
        "sign": "nonnegative",
    }
    output = {} if directions is None else {name: part.numpy() for name, part in directions._asdict().items()}
    with new_directory(paths.latents(coder)) as partial:
        n_events = merge(runs, partial, tokens.rows, tokens.context_length, attributes, output)
    shutil.rmtree(own.folder)
    ordinary = tokens.matrix.size - tokens.meta["special_positions"]
    shared = f"; left runs of {', '.join(t.name for t in targets[1:])} in scratch" if targets[1:] else ""
    click.echo(f"cache {coder}: {n_events:,} activations, {n_events / max(1, ordinary):.2f} a token{shared}")
