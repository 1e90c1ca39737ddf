"""The documents of the corpus that params.yaml names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stages import params, paths
from stages.corpus import files, hub, installed_docs
from stages.corpus.document import Document


def commit(corpus: params.Texts) -> str | None:
    """Returns the commit of a data set on the Hub, None for any other corpus; raises GlossaError as ``hub.pin`` does."""
    return hub.pin(corpus.path, corpus.revision) if isinstance(corpus, params.HubDataset) else None


def documents(corpus: params.Texts, commit: str | None = None) -> Iterator[Document]:
    """Yields the documents of the corpus that params.yaml names, in an order that never changes.

    A data set of the Hub is read at ``commit``, or at the revision that params.yaml names.
    """
    match corpus:
        case params.InstalledDocs():
            return installed_docs.read(corpus.packages, corpus.split, paths.CONSTRAINTS)
        case params.LocalText():
            return files.read(corpus.source, Path(corpus.path), corpus.field, corpus.chat is not None)
        case params.HubDataset():
            revision, is_chat = commit or corpus.revision, corpus.chat is not None
            return hub.read(corpus.path, corpus.name, corpus.split, revision, corpus.field, is_chat)
