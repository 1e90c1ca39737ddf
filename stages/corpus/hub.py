"""A data set in the layout of the Hugging Face Hub as a corpus, streamed at a pinned revision."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from stages import hub
from stages.corpus.conversation import document
from stages.corpus.document import Document
from stages.errors import GlossaError, said


def pin(path: str, revision: str) -> str | None:
    """Returns the commit that ``revision`` of a data set on the Hub now names, None if ``path`` is a folder here.

    Raises:
        GlossaError: the data set or the revision is not there, or the Hub can't be asked.
    """
    if Path(path).exists():
        return None
    if re.fullmatch("[0-9a-f]{40}", revision):
        return revision
    from huggingface_hub import HfApi, errors

    try:
        return HfApi().dataset_info(path, revision=revision).sha
    except (OSError, ValueError, errors.HTTPError) as error:
        why = hub.reason(error, f"datasets/{path}", revision) or said(error, whole=True)
        raise GlossaError(f"the data set {path} at revision {revision} can't be read: {why}") from None


def read(
    path: str, name: str | None, split: str, revision: str, field: str, is_chat: bool = False
) -> Iterator[Document]:
    """Yields the rows of one split without downloading more of it than is read; ``field`` is a conversation if the corpus ``is_chat``.

    Raises:
        GlossaError: the data set, its split or its field is not there.
    """
    from datasets import load_dataset

    where = f"the data set {path}" + (f" ({name})" if name else "") + f" at revision {revision}"
    try:
        rows = load_dataset(path, name, split=split, revision=revision, streaming=True)
        for number, row in enumerate(rows):
            yield document(f"{split}:{number}", row, field, f"{where} row {number}", is_chat)
    except (OSError, ValueError) as error:
        raise GlossaError(f"{where} can't be read: {said(error, whole=True)}") from error
