"""A first look at whether a coder fits the subject, before its activations are stored."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.coders import readings
from stages.coders.check import CONTROLS, Fvu
from stages.coders.sparse_coder import SparseCoder
from stages.errors import GlossaError
from stages.subject.hookpoints import activations
from stages.subject.load import Subject

WORST = 0.9
"""An FVU that no coder has that is read as it was trained; published ones lie at 0.05 to 0.35, and the mean alone has 1."""
FEWEST = 64
"""Tokens below which nothing is said."""


def doubt(subject: Subject, coder: SparseCoder, ids: Tensor, special: Tensor, skipped: int) -> str | None:
    """Returns what is to be said if a coder reconstructs ``ids`` [rows, length] far worse than a coder can, and else None.

    Tokens that are ``special`` [vocabulary] and the first ``skipped`` columns don't count. Controls and coders without decoders are
    not doubted.
    """
    if coder.W_dec is None or coder.identity.get("format") in CONTROLS:
        return None
    fvu, tokens = Fvu(), 0
    try:
        own = readings.meant(subject, coder)
        places = list(dict.fromkeys([own.reads, own.reconstructs]))
        with torch.inference_mode():
            for row in ids.split(1):  # as long as one that is stored, so memory suffices
                ordinary = ~special[row]
                ordinary[:, :skipped] = False
                tokens += int(ordinary.sum())
                read = activations(subject, places, row)
                x, y = (
                    read[name][ordinary.to(read[name].device)].to(coder.device, coder.b_enc.dtype)
                    for name in (own.reads, own.reconstructs)
                )
                y = y - y.mean(dim=1, keepdim=True) if coder.input_norm == "centre" else y
                fvu.add(y.float(), coder.reconstruct(x).float())
    except GlossaError:  # what it reconstructs is not in this subject; what it reads is for others to check
        return None
    if tokens < FEWEST:
        return None
    found = fvu.value()
    if found is None or found <= WORST:
        return None
    return (
        f"it leaves {found:.2f} of the variance at {own.reconstructs} unexplained on the first {tokens:,} tokens, where "
        "published coders leave 0.05 to 0.35, so it may be read otherwise than it was trained"
    )
