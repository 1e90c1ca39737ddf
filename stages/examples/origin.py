"""What examples were taken from: the subject and the sparse coder, loaded again and checked to be the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stages import paths
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.examples.prompts import SHORTEST, Prompt
from stages.examples.table import Examples
from stages.params import Params

if TYPE_CHECKING:
    from stages.coders.sparse_coder import SparseCoder
    from stages.subject.load import Subject


class Origin(NamedTuple):
    """A subject, a coder of it, and how the rows of the corpus begin."""

    subject: Subject
    coder: SparseCoder
    beginning: list[int]
    """BOS, or nothing."""
    skipped: int = 0
    """First columns of a row that are no text."""

    def row(self, prompt: Prompt) -> list[int]:
        """Returns a prompt as the subject reads it, which begins as the rows of the corpus do."""
        return prompt.tokens if prompt.tokens[0] in self.beginning else [*self.beginning, *prompt.tokens]

    def room(self, written: int) -> int | None:
        """Returns the most tokens that a prompt may have in front of so many that are ``written``, if there is a limit.

        Raises:
            GlossaError: there is no room for a prompt.
        """
        if self.subject.limit is None:
            return None
        most = self.subject.limit - len(self.beginning) - written
        if most < SHORTEST:
            raise GlossaError(
                f"the subject {self.subject.name} reads {self.subject.limit} tokens, which should have room for a prompt and the "
                f"{written} that are to be written; lower new_tokens"
            )
        return most


def load(p: Params, coder: str) -> Origin:
    """Loads what the examples of ``coder`` were taken from, as the cache stage does.

    Raises:
        GlossaError: the subject or the coder can't be loaded, or is another than the examples were taken from.
    """
    from stages.coders import opened

    meta = Examples.open(paths.examples(coder)).meta
    subject = opened.subject(p, coder)
    found = opened.coder(p, coder, subject)
    for what, loaded, noted in (
        ("subject", subject.identity["sha256"], meta["subject"]["sha256"]),
        ("coder", found.identity["sha256"], meta["coder"]["sha256"]),
    ):
        if loaded != noted:
            raise GlossaError(
                f"the examples in {paths.examples(coder)} should have been taken from the {what} that params.yaml names, but its "
                f"hash is {loaded[:12]} and theirs {noted[:12]}; run dvc repro"
            )
    bos = Tokens.open().meta["bos"]
    return Origin(subject, found, [] if bos is None else [bos], meta.get("skip_first", 0))
