"""The corpus as a table of what stands at every token, indexed by value: the background of the pattern explainer."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.corpus.lexis import PLACES, look
from stages.corpus.tokens import Tokens, Vocabulary, identity_of
from stages.corpus.units import parts, units
from stages.machine import runtime
from stages.machine.kept import Kept
from stages.machine.progress import bar
from stages.outputs import fingerprint
from stages.wiring import reach

KINDS = ("piece", "word", "before", "shape")

STARTS = ("stages.explainers.lexicon:_look", "stages.corpus.tokens:Tokens")
"""Where the code starts that decides what is seen."""

LARGEST = 2**26
"""Positions, 17 bytes each, up to which a corpus's lexicon is kept."""


@dataclass(frozen=True)
class Column:
    """One kind of observation at every position of the corpus."""

    names: list[str]
    """What each code means; code 0 is a position that shows nothing."""
    codes: NDArray[np.int32]
    """[positions]."""
    order: NDArray[np.int32]
    """Positions sorted by code."""
    first: NDArray[np.int64]
    """[len(names) + 1]: the positions of code c are order[first[c]:first[c + 1]], increasing."""
    _windows: dict[int, NDArray[np.int32]] = field(default_factory=dict, repr=False)

    def positions(self, code: int) -> NDArray[np.int32]:
        """The positions where ``code`` stands."""
        return self.order[self.first[code] : self.first[code + 1]]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """How often each code occurs."""
        return np.diff(self.first)

    def windows(self, code: int, window: int) -> NDArray[np.int32]:
        """The windows in which ``code`` stands, remembered for the next latent that asks."""
        if code not in self._windows:
            self._windows[code] = np.unique(self.positions(code) // window)
        return self._windows[code]


@dataclass(frozen=True)
class Lexicon:
    """All kinds of observations, and the surroundings as bits."""

    window: int
    columns: dict[str, Column]
    places: NDArray[np.uint8]
    """[positions] bit i is set inside the i-th of corpus.lexis.PLACES."""

    @property
    def n_windows(self) -> int:
        """Windows in the corpus."""
        return len(self.places) // self.window


_last: dict[tuple[str, int], Lexicon] = {}
"""The one that was built last, for the next explanations in this process."""


def build(tokens: Tokens, window: int) -> Lexicon:
    """Looks at every window of the corpus once. The last lexicon is remembered, and what was seen is kept for the stages of other coders.

    Raises:
        GlossaError: a part of data/tokens is missing, or what was seen can't be kept.
    """
    key = tokens.sha256, window
    if key not in _last:
        _last.clear()
        _last[key] = _build(tokens, window)
    return _last[key]


def _build(tokens: Tokens, window: int) -> Lexicon:
    store, key = Kept(runtime.home() / "lexicons", "lexicon"), _key(tokens, window)
    found = store.get(key)
    if found is not None:
        names, codes, places = _unpack(found)
    else:
        names, codes, places = _look(tokens, window)
        if len(places) <= LARGEST:
            store.put(key, _pack(names, codes, places))
            store.make_room()
    return Lexicon(window, {kind: _column(names[kind], codes[kind]) for kind in KINDS}, places)


Seen = tuple[dict[str, list[str]], dict[str, NDArray[np.int32]], NDArray[np.uint8]]
"""By kind what each code means, and the code at every position; the surroundings there."""


def _look(tokens: Tokens, window: int) -> Seen:
    vocabulary = tokens.vocabulary
    blocks = tokens.matrix.reshape(-1, window)
    codes = {kind: np.zeros(blocks.size, np.int32) for kind in KINDS}
    names: dict[str, dict[str, int]] = {kind: {"": 0} for kind in KINDS}
    places = np.zeros(blocks.size, np.uint8)
    bit = {name: 1 << place for place, name in enumerate(PLACES)}
    columns = [(names[kind], codes[kind]) for kind in KINDS]  # in the order of a sight's first fields
    position = 0
    has_parts = np.any(parts(vocabulary)[blocks], axis=1).tolist()
    for block, is_mixed in zip(bar("read corpus", unit="window", iterable=blocks.tolist()), has_parts, strict=True):
        if is_mixed:
            texts, shows = _texts(block, vocabulary)
        else:  # the rule; faster
            texts, shows = [piece.decode(errors="replace") for piece in vocabulary.pieces(block)], [True] * window
        for sight, is_shown in zip(look(texts), shows, strict=True):
            if is_shown:
                for (known, found), value in zip(columns, sight[:4], strict=True):
                    found[position] = known.setdefault(value, len(known))
                if sight.places:
                    places[position] = sum(bit[name] for name in sight.places)
            position += 1
    return {kind: list(names[kind]) for kind in KINDS}, codes, places


def _texts(block: list[int], vocabulary: Vocabulary) -> tuple[list[str], list[bool]]:
    """What each token of a window shows, and whether something is seen there.

    A character that several tokens spell stands at the first of them and nowhere else. Nobody sees what one was that the window's edge
    cuts, so it is left out; one that the corpus itself lost stays U+FFFD.
    """
    texts, shows = [""] * len(block), [False] * len(block)
    for unit in units(block, vocabulary):
        text = unit.text if not unit.special else "\n" if unit.begin else ""
        is_cut = "\ufffd" in text and text.encode() != b"".join(
            vocabulary.spellings[token] for token in block[unit.begin : unit.end]
        )
        texts[unit.begin] = text.replace("\ufffd", "") if is_cut else text
        shows[unit.begin] = not is_cut or texts[unit.begin] != ""
    return texts, shows


def _key(tokens: Tokens, window: int) -> str:
    """The hash of all that decides what is seen."""
    code = reach.digest(reach.reached(STARTS))
    return fingerprint([identity_of(tokens), window, code, unicodedata.unidata_version])


def _pack(names: dict[str, list[str]], codes: dict[str, NDArray[np.int32]], places: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    texts = np.frombuffer(json.dumps(names).encode(), np.uint8)
    arrays: dict[str, Any] = {f"codes_{kind}": codes[kind] for kind in KINDS}
    np.savez(file, names=texts, places=places, **arrays)
    return file.getvalue()


def _unpack(content: bytes) -> Seen:
    with np.load(BytesIO(content)) as arrays:
        names = json.loads(arrays["names"].tobytes())
        return names, {kind: arrays[f"codes_{kind}"] for kind in KINDS}, arrays["places"]


def _column(names: list[str], codes: NDArray[np.int32]) -> Column:
    order = np.argsort(codes, kind="stable").astype(np.int32)
    first = np.zeros(len(names) + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=len(names)), out=first[1:])
    return Column(names, codes, order, first)
