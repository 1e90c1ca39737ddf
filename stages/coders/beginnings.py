"""Whether a coder fits rows that begin with BOS, or the same rows without it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stages.coders import readings
from stages.coders.check import BATCH_TOKENS, CONTROLS, LOGITS, Fvu, at_ordinary, loss_of, nats_of
from stages.coders.sparse_coder import SparseCoder
from stages.subject.hookpoints import activations, resolve
from stages.subject.load import Subject

TOKENS = 16_384
"""That are looked at, at most."""
NOTICEABLE = 0.01
"""By what share of the FVU the other rows have to be better: a token's activations always change a little with the row's beginning."""


class Fit(NamedTuple):
    """How a coder fits some rows."""

    fvu: float | None
    recovered: float | None
    """The share of the loss that the reconstruction recovers, as in ``check.Loss``."""


class Beginnings(NamedTuple):
    """How a coder fits the same tokens in rows that begin with BOS and in rows that do not."""

    bos: str
    is_there: bool
    """Whether the rows of the corpus begin with it."""
    behind: Fit
    without: Fit

    @property
    def own(self) -> Fit:
        """Of the rows as they are."""
        return self.behind if self.is_there else self.without

    @property
    def other(self) -> Fit:
        """Of the others."""
        return self.without if self.is_there else self.behind

    @property
    def better(self) -> bool:
        """Whether the coder fits the others better: it reconstructs more of the variance, and no less of the loss."""
        own, other = self.own, self.other
        if own.fvu is None or other.fvu is None or other.fvu >= own.fvu * (1 - NOTICEABLE):
            return False
        return own.recovered is None or other.recovered is None or other.recovered >= own.recovered


def said(source: str, prepend_bos: bool | None, first: str | None, bos: str | None) -> str | None:
    """Returns what is wrong where the files of the coder at ``source`` say of ``prepend_bos`` what the rows of the corpus don't do.

    These begin with the token ``first``, or with none; ``bos`` is the token that they would begin with.
    """
    if prepend_bos is None or prepend_bos == (first is not None):
        return None
    trained, value = ("a BOS in front of every row", bos) if prepend_bos else ("nothing in front of rows", "none")
    begin = f"begin with {first}" if first is not None else "begin with no special token"
    how = f"set corpus.bos: {value}" if value is not None else "name the token as corpus.bos"
    return (
        f"the coder in {source} was trained with {trained} (prepend_bos: {str(prepend_bos).lower()}), but the rows of "
        f"data/tokens {begin}; {how} in params.yaml"
    )


def compare(
    subject: Subject, coder: SparseCoder, ids: Tensor, special: Tensor, bos: int, name: str, skipped: int = 0
) -> Beginnings | None:
    """Runs rows of ``ids`` [rows, length] with and without ``bos`` in front; only tokens count that are behind others in both.

    Returns None for controls, and where nothing can be reconstructed.

    Raises:
        GlossaError: the coder does not fit its hookpoint, or what it reads is not finite.
    """
    if coder.W_dec is None or coder.identity.get("format") in CONTROLS:
        return None
    is_there = bool((ids[:, 0] == bos).all())
    ids = ids[: max(1, TOKENS // ids.shape[1])]
    bare = ids[:, 1:] if is_there else ids[:, :-1]
    behind = torch.cat([torch.full_like(bare[:, :1], bos), bare], 1)
    counts = ~special[bare]
    counts[:, : max(1, skipped)] = False
    in_behind = torch.cat([torch.zeros_like(counts[:, :1]), counts], 1)
    if not counts.any():
        return None
    return Beginnings(name, is_there, _fit(subject, coder, behind, in_behind), _fit(subject, coder, bare, counts))


def _fit(subject: Subject, coder: SparseCoder, ids: Tensor, counts: Tensor) -> Fit:
    own = readings.meant(subject, coder)
    has_loss = resolve(subject, own.reconstructs).part != "normalized"
    fvu, nats, predicted = Fvu(), np.zeros(3), 0
    rows = max(1, min(BATCH_TOKENS, LOGITS // subject.vocabulary_size) // ids.shape[1])
    with torch.inference_mode():
        for part, here in zip(ids.split(rows), counts.split(rows), strict=True):
            read = activations(subject, list({own.reads, own.reconstructs}), part)
            x = at_ordinary(read[own.reads], here, coder, own.reads, subject)
            y = at_ordinary(read[own.reconstructs], here, coder, own.reconstructs, subject)
            made = coder.reconstruct(x)
            centred = coder.input_norm == "centre"
            mean = y.mean(dim=1, keepdim=True) if centred else torch.zeros_like(y[:, :1])
            fvu.add((y - mean).float(), made.float())
            if has_loss:
                found, n = nats_of(subject, own.reconstructs, part, here, made + mean)
                nats, predicted = nats + found, predicted + n
    loss = loss_of(nats, predicted, {} if has_loss else {"loss": ""})
    return Fit(fvu.value() if fvu.n else None, None if loss is None else loss.recovered)


def token(tokenizer: object) -> str | None:
    """Returns the token that rows would begin with, by the tokenizer's own name: BOS or, where there is none, EOS."""
    return getattr(tokenizer, "bos_token", None) or getattr(tokenizer, "eos_token", None)
