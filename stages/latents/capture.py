"""Subject + coders -> runs: the forward pass, the encoding, and the events in token order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stages.coders.sparse_coder import SparseCoder
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.latents import runs, spec
from stages.latents.batches import Batch, BatchSize, batches
from stages.latents.events import Collector
from stages.latents.runs import Run
from stages.machine.memory import is_out_of_memory
from stages.machine.scratch import Scratch
from stages.outputs import fingerprint
from stages.subject.hookpoints import activations
from stages.subject.load import Subject

CELLS = {"cuda": 2**28}
"""Pre-activations of a coder held at once: 1 GB in float32 on a GPU, a quarter of it elsewhere."""
CELLS_ELSEWHERE = 2**26
BYTES_PER_CELL = 12
"""A pre-activation, and what choosing among them takes."""


@dataclass(frozen=True)
class Target:
    """A coder whose activations are wanted, and the scratch folder of its runs."""

    name: str
    coder: SparseCoder
    hookpoint: str
    kept_bits: int
    folder: Scratch


def target(
    name: str, coder: SparseCoder, hookpoint: str, kept_bits: int, subject: Subject, tokens: Tokens, scratch: Scratch
) -> Target:
    """Returns a Target whose folder is named by all that its runs depend on."""
    key = fingerprint(
        {
            "format": runs.MAGIC,
            "subject": subject.identity["sha256"],
            "coder": coder.identity["sha256"],
            "dtype": str(coder.b_enc.dtype),
            "hookpoint": hookpoint,
            "tokens": tokens.sha256,
            "special_tokens": special_sha256(tokens),
            "kept_bits": kept_bits,
        }
    )
    return Target(name, coder, hookpoint, kept_bits, scratch / key[:32])


def special_sha256(tokens: Tokens) -> str:
    """Returns the hash of which tokens are special, whose positions are left out; the hash of the tokens does not cover it."""
    return hashlib.sha256(tokens.vocabulary.special.tobytes()).hexdigest()


def ranges(rows: int, context_length: int) -> list[tuple[int, int]]:
    """The row ranges of the runs; they depend on the shape of the token matrix alone."""
    step = max(1, spec.RANGE_TOKENS // context_length, -(-rows // spec.MOST_RANGES))
    return [(first, min(first + step, rows)) for first in range(0, rows, step)]


def finished(target: Target, rows: int, context_length: int, trusted: bool = False) -> list[Run | None]:
    """The run of every range, None where it is still to be made; the hashes of ``trusted`` runs are not checked again."""
    n = target.coder.n_latents
    return [runs.find(target.folder, first, end, n, trusted) for first, end in ranges(rows, context_length)]


def check_fits(subject: Subject, target: Target, tokens: Tokens) -> None:
    """Raises GlossaError unless the coder can read its hookpoint, tried on the first row of ``tokens``."""
    hidden = activations(subject, [target.hookpoint], torch.from_numpy(np.asarray(tokens.array[:1], dtype=np.int64)))
    _inputs(subject, target, hidden[target.hookpoint])


def dtype_of(coder: SparseCoder) -> str:
    """The type in which a coder computes, such as ``float32``."""
    return str(coder.b_enc.dtype).removeprefix("torch.")


class Capture:
    """Runs the subject once for all targets and leaves a run of every range of rows for each.

    The first target is the one that is wanted now. Another that can't be read loses its runs of this pass, and its own
    stage will say why. A latent is stored at a position when its activation there, after the coder's own activation
    function, is above 0, or is not 0 if the coder is signed; positions of special tokens (BOS, EOS) are left out.
    """

    def __init__(
        self,
        subject: Subject,
        targets: Sequence[Target],
        tokens: Tokens,
        batch_tokens: int | None,
        memory: int,
    ) -> None:
        """``memory`` is the bytes that events may take before they are written, about."""
        self.subject, self.targets, self.tokens = subject, list(targets), tokens
        self.size = BatchSize(batch_tokens, tokens.context_length)
        self.cells = CELLS.get(subject.device.type, CELLS_ELSEWHERE)
        share = memory // len(self.targets)
        self.collectors = {
            t.name: Collector(t.folder, t.coder.n_latents, tokens.context_length, t.kept_bits, share)
            for t in self.targets
        }

    def run(self, first: int, end: int, names: Sequence[str], progress: Callable[[int], object] = id) -> None:
        """Leaves the run of rows ``first`` to ``end`` for the targets with these names; ``progress`` is told the tokens.

        Raises:
            GlossaError: the first coder does not fit its hookpoint, an activation there is NaN or infinite, or memory
                does not suffice for one row.
        """
        wanted = [t for t in self.targets if t.name in names]
        self.size.measure(self.subject.device, lambda rows: self._probe(wanted, rows), self.cells * BYTES_PER_CELL)
        for t in wanted:
            self.collectors[t.name].begin(first)
        for batch in batches(self.tokens, first, end, self.size, self.subject.device):
            self._work(batch, wanted)
            progress((batch.end_row - batch.first_row) * self.tokens.context_length)
        for t in wanted:
            self.collectors[t.name].end(end)

    def close(self) -> None:
        """Waits until every run is written."""
        for collector in self.collectors.values():
            collector.close()

    def _probe(self, wanted: list[Target], rows: int) -> None:
        ids = torch.zeros(rows, self.tokens.context_length, dtype=torch.long, device=self.subject.device)
        read = activations(self.subject, [t.hookpoint for t in wanted], ids)
        for t in wanted:
            t.coder.encode(_inputs(self.subject, t, read[t.hookpoint]), self.cells)

    def _work(self, batch: Batch, wanted: list[Target]) -> None:
        """One batch, in pieces if the size was halved since it was fetched; a target that fails leaves ``wanted``."""
        start = batch.first_row
        while start < batch.end_row:
            stop = min(start + self.size.rows, batch.end_row)
            try:
                found = self._events(_part(batch, start, stop, self.tokens.context_length), wanted)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self.size.halve(error)
                continue
            for name, (positions, latents, values) in found.items():
                self.collectors[name].add(start, positions.numpy(), latents.numpy(), values.numpy())
            start = stop

    def _events(self, batch: Batch, wanted: list[Target]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
        found = {}
        read = activations(self.subject, [t.hookpoint for t in wanted], batch.ids)
        for t in list(wanted):
            try:
                found[t.name] = self._encode(t, read[t.hookpoint], batch)
            except GlossaError:
                if t is self.targets[0]:
                    raise
                wanted.remove(t)
        return found

    def _encode(self, target: Target, hidden: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Returns batch-local positions, latents and values of one batch, in token order, in main memory."""
        length = self.tokens.context_length
        with torch.inference_mode():
            x = _inputs(self.subject, target, hidden)
            x = x if batch.keep is None else x[batch.keep.to(x.device)]
            finite = torch.isfinite(x).all(dim=1)
            if not finite.all():
                place = int(torch.nonzero(~finite)[0])
                flat = place if batch.keep is None else int(batch.keep[place])
                raise GlossaError(
                    f"{target.hookpoint} of the subject {self.subject.name} is NaN or infinite at row "
                    f"{batch.first_row + flat // length}, position {flat % length}, so the coder {target.name} can't read it; "
                    "try subject.dtype float32"
                )
            rows, latents, values = target.coder.encode(x, self.cells)
            if not torch.isfinite(values).all():
                place = int(torch.nonzero(~torch.isfinite(values))[0])
                flat = int(rows[place] if batch.keep is None else batch.keep[rows[place]])
                raise GlossaError(
                    f"the coder {target.name} in {target.coder.source} gives latent {int(latents[place])} an activation "
                    f"that is NaN or infinite at row {batch.first_row + flat // length}, position {flat % length}; try cache.dtype float32"
                )
            positions = rows if batch.keep is None else batch.keep.to(rows.device)[rows]
            return positions.int().cpu(), latents.int().cpu(), values.float().cpu()


def _inputs(subject: Subject, target: Target, hidden: Tensor) -> Tensor:
    coder = target.coder
    if hidden.ndim != 3:
        raise GlossaError(
            f"{target.hookpoint} of the subject {subject.name} gives {list(hidden.shape)}, which is not one vector at every token of every "
            f"row, so the coder {target.name} can't read it; hook another module"
        )
    if hidden.shape[-1] != coder.d_in:
        raise GlossaError(
            f"the coder {target.name} in {coder.source} reads {coder.d_in} values a token, but {target.hookpoint} of "
            f"the subject {subject.name} gives {hidden.shape[-1]}; is it the right coder, or another hookpoint?"
        )
    return hidden.reshape(-1, coder.d_in).to(coder.device)


def _part(batch: Batch, start: int, stop: int, length: int) -> Batch:
    if (start, stop) == (batch.first_row, batch.end_row):
        return batch
    low, high = (start - batch.first_row) * length, (stop - batch.first_row) * length
    keep = batch.keep
    if keep is not None:
        keep = keep[(keep >= low) & (keep < high)] - low
    return Batch(start, stop, batch.ids[start - batch.first_row : stop - batch.first_row], keep)
