"""Explanations that people wrote by ``glossa rate --write``, each tied to the coder and to the train windows that its author saw.

An explanation of another coder is none of this one's. One that was written from other train windows than the present ones is used,
but a score of it is not held out: the windows of the test may have been among those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages import given
from stages.errors import GlossaError
from stages.examples.table import Examples, LatentExamples
from stages.explainers import rows, seen
from stages.explainers.rows import Row
from stages.explainers.table import Explanation
from stages.outputs import fingerprint
from stages.text.sanitise import line

SCHEMA, VERSION = "glossa/written", 1
FORMAT = "glossa"

MOST = 2000
"""Characters of an explanation that are kept."""

OTHER_WINDOWS = "they were written from other train windows than there are now"


@dataclass(frozen=True)
class Written:
    """What people wrote of one coder."""

    path: str
    rows: dict[int, Row]
    """By latent, the row that counts."""
    strange: set[int]
    """The latents of which there are rows of another coder only, which had its name."""

    def explanation(self, latent: LatentExamples) -> Explanation:
        """Returns what was written of a latent and on what it rests, or the reason why there is nothing."""
        number = latent.latent
        row = self.rows.get(number)
        if row is None:
            other = f"what {self.path} has of it is of another coder, which had this one's name"
            return Explanation(number, None, other if number in self.strange else f"{self.path} has none of it", {})
        evidence: dict[str, Any] = {
            "format": FORMAT,
            "file": self.path,
            "sha256": row.sha256,
            "made_by": made_by([row]),
            "windows": row.windows,
            "windows_sha256": row.windows_sha256,
            "held_out": is_held_out(row, latent),
        }
        if not evidence["held_out"]:
            evidence["not_held_out"] = OTHER_WINDOWS
        text = line(row.explanation, MOST)
        return Explanation(number, text or None, None if text else "the imported explanation is empty", evidence)

    def facts(self, examples: Examples) -> dict[str, Any]:
        """Returns for the meta how many there are, how many of latents that were not sampled or are held out, and who wrote them."""
        kept = set(examples.kept)
        sampled = [latent for latent in self.rows if latent in kept]
        held_out = sum(is_held_out(self.rows[latent.latent], latent) for latent in examples.of(sampled))
        return {
            "explanations": len(self.rows),
            "not_sampled": len(self.rows) - len(sampled),
            "sha256": fingerprint({str(latent): row.sha256 for latent, row in self.rows.items()}),
            "made_by": made_by(self.rows.values()),
            "held_out": held_out,
        }


def read(path: str, coder: str, sha256: str, coders: Collection[str], by: str | None = None) -> Written | None:
    """Returns what people wrote of the coder with this name and hash, ``by`` one of them if he is named; None if they wrote nothing.

    ``coders`` are the names of those that there are (``rows.is_of``). Of several rows of a latent by the same author the last counts.

    Raises:
        GlossaError: the file is missing or damaged, or several people wrote about the same latent.
    """
    found: dict[int, Row] = {}
    strange: set[int] = set()
    for row in rows.read(Path(path), SCHEMA, VERSION, inside=given.project(path)):
        if by is not None and row.by != by:
            continue
        if rows.is_of(row, coder, sha256, coders):
            before = found.get(row.latent, row)
            if before.by != row.by:
                names = " and ".join(sorted(f"by {one.by}" if one.by else "by nobody named" for one in (before, row)))
                raise GlossaError(
                    f"expected one explanation of latent {row.latent} of {coder} in {path}, found two, {names}; "
                    "choose an author by the explainer's option by"
                )
            found[row.latent] = row
        elif row.coder == coder:
            strange.add(row.latent)
    return Written(path, found, strange - found.keys()) if found or strange else None


def is_held_out(row: Row, latent: LatentExamples) -> bool:
    """Whether a row's author saw the train windows that there are, and so no window of the test."""
    return row.windows_sha256 == seen.sha256(latent, row.windows)


def made_by(written: Iterable[Row]) -> str:
    """Says how explanations were made, and by whom."""
    names = sorted({row.by for row in written if row.by})
    who = f" by {', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(f" by {name}" for name in names)
    return f"hand-written{who}, from the train windows"
