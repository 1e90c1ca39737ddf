"""How single latents fire on given tokens: the subject and the coder run again, on a few texts of each latent's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from stages.coders.sparse_coder import SparseCoder
from stages.subject.hookpoints import activations
from stages.subject.load import Subject

BATCH_TOKENS = 8192


def firing(
    subject: Subject,
    coder: SparseCoder,
    texts: Sequence[Sequence[int]],
    latents: Sequence[int],
    batch_tokens: int | None = None,
) -> list[NDArray[np.float32]]:
    """Returns, for every text, the activation of ``latents[i]`` at each of the tokens of ``texts[i]``.

    Texts of different lengths go through together, filled up at their ends, which no token before sees.

    Raises:
        GlossaError: the subject lacks the coder's hookpoint.
    """
    hookpoint = coder.hookpoint
    assert hookpoint is not None
    coder = coder.to(subject.device)
    found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(texts)
    ordered = sorted((place for place in range(len(texts)) if len(texts[place])), key=lambda place: -len(texts[place]))
    while ordered:
        longest = len(texts[ordered[0]])
        n = max(1, (batch_tokens or BATCH_TOKENS) // longest)
        places, ordered = ordered[:n], ordered[n:]
        ids = torch.zeros(len(places), longest, dtype=torch.long)
        for row, place in enumerate(places):
            ids[row, : len(texts[place])] = torch.tensor(texts[place])
        with torch.inference_mode():
            hidden = activations(subject, [hookpoint], ids)[hookpoint]
            events = coder.encode(hidden.flatten(0, 1).to(coder.device))
        own = torch.tensor([latents[place] for place in places], device=events.latents.device)
        is_own = events.latents == own[events.rows // longest]
        dense = torch.zeros(ids.shape, device=own.device)
        dense.view(-1)[events.rows[is_own]] = events.values[is_own].float()
        for row, place in enumerate(places):
            found[place] = dense[row, : len(texts[place])].cpu().numpy()
    return found
