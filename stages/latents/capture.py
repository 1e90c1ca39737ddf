"""Subject + coders -> runs: the forward pass, the encoding, and the events in token order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stages.coders.sparse_coder import SparseCoder
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.latents import runs, spec
from stages.latents.runs import Run
from stages.latents.store import LatentStore
from stages.outputs import fingerprint
from stages.progress import bar
from stages.subject.hookpoints import activations
from stages.subject.load import Subject


@dataclass(frozen=True)
class Target:
    """A coder whose activations are wanted, and the scratch folder of its runs."""

    name: str
    coder: SparseCoder
    hookpoint: str
    kept_bits: int
    folder: Path


def target(
    name: str, coder: SparseCoder, hookpoint: str, kept_bits: int, subject: Subject, tokens: Tokens, scratch: Path
) -> Target:
    """Returns a Target whose folder is named by all that its runs depend on."""
    key = fingerprint(
        {
            "format": runs.MAGIC,
            "subject": subject.identity["sha256"],
            "coder": coder.identity["sha256"],
            "hookpoint": hookpoint,
            "tokens": tokens.sha256,
            "kept_bits": kept_bits,
            "range_tokens": spec.RANGE_TOKENS,
        }
    )
    return Target(name, coder, hookpoint, kept_bits, scratch / key[:32])


def ranges(rows: int, context_length: int) -> list[tuple[int, int]]:
    """The row ranges of the runs; they depend on the token matrix alone."""
    step = max(1, spec.RANGE_TOKENS // context_length)
    return [(first, min(first + step, rows)) for first in range(0, rows, step)]


def finished(target: Target, rows: int, context_length: int) -> list[Run | None]:
    """The run of every range, None where it is still to be made."""
    n = target.coder.n_latents
    return [runs.find(target.folder, first, end, n) for first, end in ranges(rows, context_length)]


def check_fits(subject: Subject, target: Target, tokens: Tokens) -> None:
    """Raises GlossaError unless the coder can read its hookpoint, tried on the first row of ``tokens``."""
    ids = torch.from_numpy(np.asarray(tokens.array[:1], dtype=np.int64))
    hidden = activations(subject, [target.hookpoint], ids)[target.hookpoint]
    _encode(subject, target, hidden, torch.arange(0), 0, tokens.context_length)


def is_stored(target: Target, path: Path, subject: Subject, tokens: Tokens) -> bool:
    """Whether the store at ``path`` already holds just these activations."""
    try:
        meta = LatentStore.open(path).meta
    except GlossaError:
        return False
    return (
        meta["coder"]["sha256"] == target.coder.identity["sha256"]
        and meta["subject"]["sha256"] == subject.identity["sha256"]
        and meta["tokens_sha256"] == tokens.sha256
        and meta["hookpoint"] == target.hookpoint
        and meta["kept_mantissa_bits"] == target.kept_bits
    )


def capture(subject: Subject, targets: Sequence[Target], tokens: Tokens, batch_tokens: int) -> None:
    """Leaves a run of every range for every target, running the subject once for all of them.

    The first target is the one that is wanted now. Another that can't be read loses its runs of this pass, and its own
    stage will say why. A latent is stored at a position when its activation there, after the coder's own activation function, is above 0;
    positions of special tokens (BOS, EOS) are left out.

    Raises:
        GlossaError: the first coder does not fit its hookpoint, or an activation there is NaN or infinite.
    """
    length = tokens.context_length
    special = torch.from_numpy(tokens.vocabulary.special)
    rows_at_once = max(1, batch_tokens // length)
    spans = ranges(tokens.rows, length)
    have = {target.name: finished(target, tokens.rows, length) for target in targets}
    with bar("forward", total=tokens.rows * length, unit="token") as progress:
        for place, (first, end) in enumerate(spans):
            missing = [target for target in targets if have[target.name][place] is None]
            if not missing:
                progress.update((end - first) * length)
                continue
            events: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {target.name: [] for target in missing}
            for start in range(first, end, rows_at_once):
                stop = min(start + rows_at_once, end)
                ids = torch.from_numpy(np.asarray(tokens.array[start:stop], dtype=np.int64))
                keep = torch.nonzero(~special[ids].reshape(-1)).squeeze(1)
                read = activations(subject, [target.hookpoint for target in missing], ids)
                for target in list(missing):
                    try:
                        found = _encode(subject, target, read[target.hookpoint], keep, start, length)
                    except GlossaError:
                        if target is targets[0]:
                            raise
                        missing.remove(target)
                        continue
                    offset = (start - first) * length
                    events[target.name].append(((found[0] + offset).int(), found[1].int(), found[2]))
                progress.update((stop - start) * length)
            for target in missing:
                positions, latents, values = (
                    torch.cat(part).numpy() for part in zip(*events.pop(target.name), strict=True)
                )
                target.folder.mkdir(parents=True, exist_ok=True)
                runs.write(
                    target.folder,
                    first,
                    end,
                    (end - first) * length,
                    target.coder.n_latents,
                    positions,
                    latents,
                    spec.round_mantissa(values, target.kept_bits),
                )


def _encode(
    subject: Subject, target: Target, hidden: Tensor, keep: Tensor, first_row: int, length: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns batch-local positions, latents and values of one batch, in token order."""
    coder = target.coder
    if hidden.ndim != 3 or hidden.shape[-1] != coder.d_in:
        raise GlossaError(
            f"the coder {target.name} in {coder.source} reads {coder.d_in} values a token, but {target.hookpoint} of "
            f"the subject {subject.name} gives {hidden.shape[-1]}; is it the right coder, or another hookpoint?"
        )
    x = hidden.reshape(-1, coder.d_in)[keep.to(hidden.device)]
    with torch.inference_mode():
        finite = torch.isfinite(x).all(dim=1)
        if not finite.all():
            flat = int(keep[int(torch.nonzero(~finite)[0])])
            raise GlossaError(
                f"{target.hookpoint} of the subject {subject.name} is NaN or infinite at row "
                f"{first_row + flat // length}, position {flat % length}, so the coder {target.name} can't read it; "
                "try subject.dtype float32"
            )
        rows, latents, values = coder.encode(x)
    return keep[rows.cpu()], latents.cpu(), values.cpu()
