"""Whether a coder fits rows that begin with BOS, or the same rows without it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from stages.coders.check import CONTROLS, measure
from stages.coders.sparse_coder import SparseCoder
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
    first = max(1, skipped)
    if special[bare[:, first:]].all():
        return None
    return Beginnings(
        name, is_there, _fit(subject, coder, behind, special, 1 + first), _fit(subject, coder, bare, special, first)
    )


def _fit(subject: Subject, coder: SparseCoder, ids: Tensor, special: Tensor, skipped: int) -> Fit:
    found = measure(subject, coder, ids, special, skipped=skipped, with_mistakes=False)
    return Fit(found.fvu, None if found.loss is None else found.loss.recovered)


def token(tokenizer: object) -> str | None:
    """Returns the token that rows would begin with, by the tokenizer's own name: BOS or, where there is none, EOS."""
    return getattr(tokenizer, "bos_token", None) or getattr(tokenizer, "eos_token", None)
