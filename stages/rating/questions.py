"""What is asked of a reader: about which latents, in which order, and which explanations of them.

A question knows neither scores nor explainers, and its latent has the train windows alone: what is not here can't be shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from stages.errors import GlossaError
from stages.examples import named
from stages.examples.hashing import shuffled
from stages.examples.table import Examples, LatentExamples, Windows
from stages.explainers import seen
from stages.explainers.rows import Row
from stages.outputs import fingerprint

AT_ONCE = 256
"""Latents whose windows are in memory."""


class Question(NamedTuple):
    """A latent that is to be explained, or an explanation of it that is to be rated."""

    row: Row
    """The answer to be, but for what is answered; of what is to be rated it has the explanation."""
    latent: LatentExamples
    """With its train windows only."""
    place: int
    """Of the latent among those that are asked about, from 1."""
    of: int
    answered: bool

    @property
    def label(self) -> str:
        """A name of the question that another coder, window or explanation changes."""
        asked = [self.row.coder_sha256, self.row.windows_sha256, self.row.explanation]
        return f"{self.row.latent}.{fingerprint(asked)[:6]}"


class Asking(NamedTuple):
    """About which coder who is asked, and how."""

    coder: str
    sha256: str
    """The coder's, as the examples' meta has it."""
    seed: int
    windows: int
    """How many of them are shown of a latent at most."""
    by: str | None


def order(
    examples: Examples,
    coder: str,
    seed: int,
    named_latents: Sequence[int] | None,
    n: int | None,
    among: set[int] | None,
) -> list[int]:
    """Returns the latents that are asked about in an order that only the seed and the coder decide, the first ``n`` of it.

    ``among`` are those of which there is anything to be asked, all if None.

    Raises:
        GlossaError: a latent that is named was not sampled, or was dropped.
    """
    for latent in named_latents or ():
        named.check(examples, coder, latent)
    wanted = examples.kept if named_latents is None else sorted(set(named_latents))
    wanted = [latent for latent in wanted if among is None or latent in among]
    return shuffled(seed, coder, wanted)[:n]


def questions(
    examples: Examples,
    latents: Sequence[int],
    asking: Asking,
    texts: Mapping[int, Sequence[str]] | None,
    rows: Sequence[Row],
) -> Iterator[Question]:
    """Yields what is asked about each of ``latents``: what it does or, of all of its ``texts``, how right they are.

    Texts come in an order that says nothing of who wrote them. What is in ``rows``, answered by the same person about the same
    windows, is ``answered``.
    """
    known = {_key(row) for row in rows}
    for first in range(0, len(latents), AT_ONCE):
        part = latents[first : first + AT_ONCE]
        of_part = {found.latent: _bare(found) for found in examples.of(part)}
        for place, latent in enumerate(part, first + 1):
            found = of_part[latent]
            row = Row(
                asking.coder,
                asking.sha256,
                latent,
                asking.windows,
                seen.sha256(found, asking.windows),
                "",
                asking.by,
                None,
                "",
            )
            asked = [row] if texts is None else [row._replace(explanation=text) for text in texts[latent]]
            for one in sorted(asked, key=lambda one: fingerprint([asking.seed, latent, one.explanation])):
                is_known = _key(one._replace(rating=1) if texts is not None else one) in known
                yield Question(one, found, place, len(latents), is_known)


def _key(row: Row) -> tuple[object, ...]:
    """What makes two answers such to the same question."""
    return row.by, row.coder_sha256, row.latent, row.windows_sha256, row.explanation if row.rating is not None else None


def _bare(latent: LatentExamples) -> LatentExamples:
    """A latent without all that a reader must not see."""
    return LatentExamples(latent.latent, {"max": latent.facts["max"]}, latent.train, Windows.none(), Windows.none())


def sha256_of(examples: Examples) -> str:
    """Returns the hash of the coder that examples are of."""
    sha256 = examples.meta.get("coder", {}).get("sha256")
    if sha256 is None:
        raise GlossaError(
            f"expected the sha256 of the coder in {examples.directory / 'meta.json'}, but there is none; run dvc repro"
        )
    return sha256
