"""What an audit finds: of every check how much it looked at, what failed, and what it could not look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from stages.errors import GlossaError, said

KEPT = 20
"""Failures of a check that are named; the others are counted."""

DAMAGE = (GlossaError, OSError, ValueError, KeyError, TypeError, IndexError)
"""What reading a file raises whose content is not what it says: pyarrow's errors are ValueError or OSError."""


class Failure(NamedTuple):
    """One thing that is not as it was."""

    item: str
    """What it is: a file, or a stage's output and a latent."""
    said: str
    """How it differs."""


@dataclass
class Check:
    """One check, as it goes on."""

    name: str
    covers: str
    """What is compared with what, in one line."""
    checked: int = 0
    """Things looked at, the failed ones included."""
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    """The first ``KEPT`` of them."""
    unknown: dict[str, list[str]] = field(default_factory=dict)
    """By reason, the things that could not be looked at."""

    def passed(self, n: int = 1) -> None:
        """Counts things that are as they were."""
        self.checked += n

    def fail(self, item: str, said: str) -> None:
        """Notes a thing that is not."""
        self.checked += 1
        self.failed += 1
        if len(self.failures) < KEPT:
            self.failures.append(Failure(item, said))

    def expect(self, holds: bool, item: str, said: str) -> None:
        """Counts one thing, as failed unless it ``holds``."""
        if holds:
            self.passed()
        else:
            self.fail(item, said)

    def skip(self, item: str, why: str) -> None:
        """Notes a thing that can't be looked at."""
        self.unknown.setdefault(why, []).append(item)

    def take(self, other: Check) -> None:
        """Adds what a part of the same check found."""
        self.checked += other.checked
        self.failed += other.failed
        self.failures += other.failures[: KEPT - len(self.failures)]
        for why, items in other.unknown.items():
            self.unknown.setdefault(why, []).extend(items)

    @contextmanager
    def reading(self, item: str) -> Iterator[None]:
        """Notes ``item`` as failed if what the block reads is damaged, as unknown if its whole folder was not pulled."""
        try:
            yield
        except DAMAGE as error:
            if (folder := _absent(error)) is not None:
                self.skip(item, f"{folder} is not here; dvc pull brings what was pushed")
            else:
                self.fail(item, f"can't be read: {said(error, whole=True)}")

    def to_dict(self) -> dict[str, Any]:
        """The check as JSON."""
        return {
            "name": self.name,
            "covers": self.covers,
            "checked": self.checked,
            "failed": self.failed,
            "failures": [failure._asdict() for failure in self.failures],
            "not_checkable": [
                {"why": why, "n": len(items), "items": items[:KEPT]} for why, items in self.unknown.items()
            ],
        }


def _absent(error: BaseException) -> Path | None:
    """The folder of a file that could not be found, if there is none."""
    missing = error if isinstance(error, FileNotFoundError) else error.__context__
    if not isinstance(missing, FileNotFoundError) or missing.filename is None:
        return None
    folder = Path(missing.filename).parent
    return None if folder.exists() else folder
