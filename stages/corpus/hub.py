"""A data set in the layout of the Hugging Face Hub as a corpus, streamed at a pinned revision."""

from __future__ import annotations

from collections.abc import Iterator

from stages.corpus.document import Document
from stages.errors import GlossaError, nearest


def read(path: str, name: str | None, split: str, revision: str, field: str) -> Iterator[Document]:
    """Yields the rows of one split without downloading more of it than is read.

    Raises:
        GlossaError: the data set, its split or its field is not there.
    """
    from datasets import load_dataset

    where = f"the data set {path}" + (f" ({name})" if name else "") + f" at revision {revision}"
    try:
        rows = load_dataset(path, name, split=split, revision=revision, streaming=True)
        for number, row in enumerate(rows):
            if field not in row:
                raise GlossaError(f"{where} has no field {field}; {nearest(field, row)}")
            if not isinstance(row[field], str):
                raise GlossaError(
                    f"{where} row {number} should have a string in {field}, found {type(row[field]).__name__}"
                )
            yield Document(f"{split}:{number}", row[field])
    except (OSError, ValueError) as error:
        raise GlossaError(f"{where} can't be read: {' '.join(str(error).split())}") from error
