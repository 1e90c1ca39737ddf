"""Formats that others read. One file each; a kind is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol

from stages.params import Params

KINDS = {
    "csv": "stages.publish.exports.csv_table",
    "delphi": "stages.publish.exports.delphi",
    "jsonl": "stages.publish.exports.jsonl",
    "neuronpedia": "stages.publish.exports.neuronpedia",
    "neuronpedia-upload": "stages.publish.exports.neuronpedia_upload",
    "paper": "stages.publish.exports.paper",
    "ro-crate": "stages.publish.exports.ro_crate",
    "saebench": "stages.publish.exports.saebench",
}


class Export(Protocol):
    """What every module of ``KINDS`` offers."""

    def write(self, p: Params, folder: Path) -> str:
        """Writes everything into ``folder``, which is there and empty, and returns what it wrote, in a few words."""


def load(kind: str) -> Export:
    """Returns the export called ``kind``."""
    module: Export = import_module(KINDS[kind])
    return module
