"""What is compared of one coder: its place, how its latents fire, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stages.similarity import space
from stages.similarity.activations import Stored
from stages.similarity.blocks import Cosine
from stages.similarity.firing import Firing
from stages.similarity.lru import Lru
from stages.similarity.space import Directions

CONTROLS = ("neurons", "random")
"""Formats of coders that nobody trained."""


class Explained(NamedTuple):
    """The explained latents of one coder by one explainer."""

    latents: NDArray[np.int64]
    """[explained], increasing."""
    texts: list[str]
    vectors: NDArray[np.float32]
    """[explained, width] embeddings at unit norm."""

    def places(self, latents: NDArray) -> NDArray[np.int64]:
        """Returns where each of ``latents`` is, -1 where it has no explanation."""
        if not len(self.latents):
            return np.full(len(latents), -1)
        places = np.minimum(np.searchsorted(self.latents, latents), len(self.latents) - 1)
        return np.where(self.latents[places] == latents, places, -1)

    def of(self, latents: NDArray) -> list[str | None]:
        """Returns the explanations of ``latents``, None where there is none."""
        return [None if place < 0 else self.texts[place] for place in self.places(latents).tolist()]


def explained(texts: Mapping[int, str], vector: Mapping[str, NDArray]) -> Explained:
    """Puts {latent: explanation} and {text: embedding} together."""
    latents = sorted(texts)
    width = len(next(iter(vector.values()))) if vector else 0
    vectors = np.array([vector[texts[latent]] for latent in latents], np.float32).reshape(len(latents), width)
    return Explained(np.array(latents, np.int64), [texts[latent] for latent in latents], vectors)


def meaning_of(a: Explained, b: Explained) -> Cosine:
    """Returns the similarity of two coders' explanations."""
    return Cosine([(torch.from_numpy(a.vectors), torch.from_numpy(b.vectors))], a.latents, b.latents)


class Known(NamedTuple):
    """One coder, without its weights and activations."""

    name: str
    hookpoint: str
    control: str | None
    """``neurons`` or ``random``; None for a coder that was trained."""
    subject: str
    """Hash of the subject."""
    firing: Firing
    explained: dict[str, Explained]
    """By explainer."""
    coder: Mapping[str, Any]
    """The identity of the coder: its ``format``, its ``sha256`` and what went into that."""

    @property
    def layer(self) -> int | None:
        """The layer it reads, counted from 0."""
        return space.layer(self.hookpoint)

    @property
    def place(self) -> str:
        """What it reads, whatever the layer."""
        return space.LAYER.sub(".#.", self.hookpoint)


class Sources(NamedTuple):
    """Where comes from what is too large to be held of all coders at once."""

    directions: Lru[Directions]
    stored: Lru[Stored] | None
    """None unless activations are compared."""
    here: frozenset[str]
    """The coders that have directions and stores; those of other projects do not."""
    device: torch.device
