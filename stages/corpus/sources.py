"""The documents of the corpus that params.yaml names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stages import params, paths
from stages.corpus import files, hub, installed_docs
from stages.corpus.document import Document


def documents(corpus: params.Corpus) -> Iterator[Document]:
    """Yields the documents of the corpus that params.yaml names, in an order that never changes."""
    match corpus:
        case params.InstalledDocs():
            return installed_docs.read(corpus.packages, corpus.split, paths.CONSTRAINTS)
        case params.LocalText():
            return files.read(corpus.source, Path(corpus.path), corpus.field)
        case params.HubDataset():
            return hub.read(corpus.path, corpus.name, corpus.split, corpus.revision, corpus.field)
