"""The folder results/dataset: tables, card, Croissant description and meta."""

from __future__ import annotations

from pathlib import Path

from stages.dataset import tables
from stages.dataset.card import card
from stages.dataset.croissant import croissant
from stages.dataset.facts import facts
from stages.outputs import dumps, write_meta
from stages.params import Params
from stages.results.reading import Results

SCHEMA, VERSION = "glossa/dataset", 2


def write(folder: Path, p: Params, found: Results) -> None:
    """Writes everything into ``folder``, which is there and empty.

    Raises:
        GlossaError: an output of an earlier stage is missing, damaged or of another version.
    """
    known = facts(p, found, tables.write(folder, p))
    write_meta(folder, SCHEMA, VERSION, known)
    (folder / "README.md").write_text(card(known), encoding="utf-8")
    (folder / "croissant.json").write_text(dumps(croissant(known, folder)), encoding="utf-8")
