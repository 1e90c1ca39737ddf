"""A text that someone types -> a row of tokens, as the tokenize stage makes rows of the corpus."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages import params, plan
from stages.corpus import joining
from stages.corpus.encode import beginning, load_tokenizer, special_tokens
from stages.corpus.tokens import Tokens, Vocabulary
from stages.corpus.units import at_first, units
from stages.errors import GlossaError
from stages.text.display import visible

NOTHING = "⟨⟩"
"""How a token without any text is shown."""
TRIED = "It says what the cats, the dogs and the mice were doing."
"""A text by which it is told how tokens are joined; words that a tokenizer does not know do as well."""


class Row(NamedTuple):
    """What the subject reads of a text."""

    ids: NDArray[np.int64]
    """[length] the tokens: what rows of the corpus begin with, then those of the text."""
    ordinary: NDArray[np.bool_]
    """[length] false at BOS and at first columns that are no text, where no latent counts."""
    shown: list[str]
    """One for every token, fit to be shown; empty where a token goes on with the character of the one before."""
    left_out: int
    """Tokens of the text that a row has no room for."""


class Tokenizer:
    """The subject's tokenizer, in the hands of which a text becomes what the first document of a row is.

    What rows of the corpus begin with comes first; no EOS follows, as no token before it could see it. The name of a special
    token that someone types is read as ordinary text. What goes beyond ``corpus.context_length`` is left out.
    """

    def __init__(self, p: params.Params) -> None:
        """Loads it; raises GlossaError if it can't be."""
        tokenizer, _ = load_tokenizer(p.subject.model, p.subject.revision)
        if isinstance(p.corpus, params.TokenIds):  # whose rows begin as the ids do
            front = Tokens.open().meta["bos"]
        else:
            front = beginning(tokenizer, p.corpus.bos, p.subject.model)
        self._backend = tokenizer.backend_tokenizer
        self._backend.encode_special_tokens = True
        self._backend.no_truncation()
        self._backend.no_padding()
        self._bos = [] if front is None else [front]
        self._skipped = plan.skipped(p.sampling, front)
        special = np.zeros(len(tokenizer), bool)
        special[own := special_tokens(tokenizer, front)] = True
        tried = joining.samples(tokenizer, [TRIED])
        spelt = joining.spell(tokenizer, len(tokenizer), own, tried, p.subject.model)
        self._vocabulary = Vocabulary(spelt.tokens, np.zeros(len(tokenizer), np.int64), special)
        self._room = p.corpus.context_length - len(self._bos)

    def row(self, text: str) -> Row:
        """Returns the row of ``text``; raises GlossaError if there is nothing in it."""
        # JSON can spell half a surrogate pair, which is no text that a tokenizer takes.
        found = self._backend.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids
        if not text.strip() or not found:
            raise GlossaError("the text to test should not be empty; type some")
        ids = np.array([*self._bos, *found[: self._room]], dtype=np.int64)
        ordinary = ~self._vocabulary.special[ids]
        ordinary[: self._skipped] = False
        return Row(ids, ordinary, shown(ids, self._vocabulary), max(0, len(found) - self._room))


def shown(ids: NDArray[np.int64], vocabulary: Vocabulary) -> list[str]:
    """Returns what each token shows; joined, the visible text. A character of several tokens stands at the first of them."""
    found = units(ids.tolist(), vocabulary)
    return at_first([unit._replace(text=visible(unit.text) or NOTHING) for unit in found], len(ids))
