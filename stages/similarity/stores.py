"""The activations of coders of this project, on text alone."""

from __future__ import annotations

import numpy as np

from stages import paths
from stages.corpus.tokens import Tokens
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from stages.latents.text_only import TextOnly, text_only


def ordinary(tokens: Tokens, skipped: int = 0) -> int:
    """Returns the number of tokens that are not special, without those in the first ``skipped`` columns of rows."""
    n = tokens.rows * tokens.context_length - tokens.meta["special_positions"]
    if not skipped:
        return int(n)
    return int(n - np.count_nonzero(~tokens.vocabulary.special[np.asarray(tokens.array[:, :skipped])]))


def skipped_of(name: str) -> int:
    """Returns how many first columns of rows hold no text, as ``sample`` took them for a coder of this project."""
    return int(Examples.open(paths.examples(name)).meta.get("skip_first", 0))


def store_of(name: str, tokens: Tokens) -> tuple[LatentStore | TextOnly, int]:
    """Returns the activations of a coder of this project on text, and the number of its tokens."""
    skipped = skipped_of(name)
    store = LatentStore.open(paths.latents(name))
    return text_only(store, tokens.context_length, skipped), ordinary(tokens, skipped)
