"""What a page is told about a reading: tokens, latents and what the run knows of them, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stages import paths
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.explainers import table as explanations
from stages.params import Params
from stages.text.display import sentence

if TYPE_CHECKING:
    from stages.serve.reading import Reading

STRONGEST = 50
"""Latents that are told of, by their largest activation on the text …"""
OF_TOKEN = 10
"""… and those that are among so many at some token."""


@dataclass(frozen=True)
class Known:
    """What the run found of a coder's latents; empty where it is not here."""

    largest: dict[int, float]
    """By latent that has a page, its largest activation in the corpus."""
    said: dict[str, dict[int, str]]
    """By explainer and latent, the explanation."""

    @classmethod
    def of(cls, p: Params, coder: str) -> Known:
        """Reads data/examples and data/explanations; raises GlossaError if they are damaged."""
        largest: dict[int, float] = {}
        if (folder := paths.examples(coder)).is_dir():
            kept = Examples.open(folder).latents
            kept = kept.filter(kept["dropped"].is_null())
            largest = dict(zip(kept["latent"].to_pylist(), kept["max"].to_pylist(), strict=True))
        folders = {explainer: paths.explanations(coder, explainer) for explainer in p.explainers}
        return cls(largest, {name: explanations.texts(place) for name, place in folders.items() if place.is_dir()})


def answer(coder: str, reading: Reading, known: Known, wanted: Sequence[int] | None = None) -> dict[str, Any]:
    """Returns the tokens and the strongest latents, or the ``wanted`` ones, each with its activations.

    ``latents`` come strongest first: ``where`` holds the tokens on which one fires and ``values`` its activations there.
    """
    row = reading.row
    strength = np.abs(reading.values)
    fired, of_event = np.unique(reading.latents, return_inverse=True)
    peaks = np.zeros(len(fired), np.float32)
    np.maximum.at(peaks, of_event, strength)
    chosen = _chosen(reading, peaks, of_event) if wanted is None else np.array(sorted(set(wanted)), np.int64)
    told = [_latent(coder, latent, reading, known) for latent in chosen.tolist()]
    return {
        "coder": coder,
        "tokens": row.shown,
        "special": np.flatnonzero(~row.ordinary).tolist(),
        "left_out": row.left_out,
        "firing": len(fired),
        "latents": sorted(told, key=lambda one: (-one["strength"], one["latent"])),
    }


def _chosen(reading: Reading, peaks: np.ndarray, of_event: np.ndarray) -> np.ndarray:
    """The latents that are among the strongest of the text or of a token."""
    fired = np.unique(reading.latents)
    chosen = set(fired[np.argsort(-peaks, kind="stable")[:STRONGEST]].tolist())
    order = np.lexsort((reading.latents, -np.abs(reading.values), reading.places))
    places = reading.places[order]
    rank = np.arange(len(places)) - np.searchsorted(places, places)
    chosen.update(reading.latents[order][rank < OF_TOKEN].tolist())
    return np.array(sorted(chosen), np.int64)


def _latent(coder: str, latent: int, reading: Reading, known: Known) -> dict[str, Any]:
    mine = reading.latents == latent
    values = reading.values[mine].tolist()
    has_page = latent in known.largest
    return {
        "latent": latent,
        "strength": max((abs(value) for value in values), default=0.0),
        "where": reading.places[mine].tolist(),
        "values": values,
        "largest": known.largest.get(latent),
        "explanations": {name: sentence(said[latent]) for name, said in known.said.items() if latent in said},
        "page": f"latent.html#{coder}/{latent}" if has_page else None,
    }


def check_wanted(wanted: Sequence[int], n_latents: int, coder: str) -> None:
    """Raises GlossaError unless these are latents of the coder, and few."""
    beyond = [latent for latent in wanted if not 0 <= latent < n_latents]
    if beyond:
        raise GlossaError(f"the coder {coder} has latents 0 to {n_latents - 1}, but no {beyond[0]}")
    if len(wanted) > STRONGEST:
        raise GlossaError(f"at most {STRONGEST} latents can be tested at once, found {len(wanted)}; name fewer")
