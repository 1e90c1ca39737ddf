"""All checks, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stages.provenance import accounted, activations, examples, files, identities, replayed, scores, stores, transcripts
from stages.provenance.check import Check
from stages.provenance.project import Project

THEMES: tuple[Callable[[Project], Iterator[Check]], ...] = (
    files.checks,
    identities.checks,
    stores.checks,
    examples.checks,
    accounted.checks,
    transcripts.checks,
    replayed.checks,
    scores.checks,
    activations.checks,
)


def audit(project: Project) -> Iterator[Check]:
    """Yields every check when it is done; raises GlossaError if there is no dvc.lock."""
    for theme in THEMES:
        yield from theme(project)
