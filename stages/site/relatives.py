"""The latents of other coders that a latent is matched to."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages import paths
from stages.results.reading import Results
from stages.similarity import table
from stages.site.digits import shortened
from stages.text.display import sentence

DIRECTIONS = ("decoder_cosine", "encoder_cosine", "activation_correlation")
"""What says how alike two directions are; the first that is known."""


class Relatives:
    """The matches of data/similarity by latent."""

    def __init__(self, results: Results) -> None:
        """Raises GlossaError if they are missing, damaged or of another version."""
        self._matches, _ = table.read(paths.SIMILARITY)
        self._kept = {coder.name: set(next(iter(coder.explanations.values()), ())) for coder in results.coders.values()}

    def of(self, coder: str) -> dict[int, list[dict[str, Any]]]:
        """Returns {latent: its relatives in the order in which coders were compared}, one for every other coder and match.

        Explainers whose coders are matched alike have a match in common: its ``text`` is the first that there is.
        """
        found: dict[int, dict[tuple[str, int], dict[str, Any]]] = {}
        for own, other in (("a", "b"), ("b", "a")):
            rows: pa.Table = self._matches.filter(pc.equal(self._matches[f"coder_{own}"], coder))
            for row in rows.to_pylist():
                name, latent = row[f"coder_{other}"], row[f"latent_{other}"]
                relative = {
                    "coder": name,
                    "latent": latent,
                    "direction": next((shortened(row[key]) for key in DIRECTIONS if row[key] is not None), None),
                    "meaning": shortened(row["explanation_cosine"]),
                    "text": row[f"explanation_{other}"] and sentence(row[f"explanation_{other}"]),
                    "linked": latent in self._kept.get(name, ()),
                }
                known = found.setdefault(row[f"latent_{own}"], {}).setdefault((name, latent), relative)
                if known["text"] is None:
                    known |= {"text": relative["text"], "meaning": relative["meaning"]}
        return {latent: list(relatives.values()) for latent, relatives in found.items()}
