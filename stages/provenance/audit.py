"""All checks, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stages.provenance import (
    accounted,
    activations,
    examples,
    files,
    identities,
    imports,
    replayed,
    scores,
    stores,
    transcripts,
)
from stages.provenance.check import Check
from stages.provenance.project import Project
from stages.provenance.spread import over_processes

THEMES: tuple[Callable[[Project], Iterator[Check]], ...] = (
    files.checks,
    identities.checks,
    stores.checks,
    examples.checks,
    accounted.checks,
    imports.checks,
    transcripts.checks,
)
"""Those that take a few seconds, while the longer ones go on in other processes."""


def audit(project: Project) -> Iterator[Check]:
    """Yields every check when it is done; raises GlossaError if there is no dvc.lock."""
    _ = project.lock
    with over_processes(project) as spread:
        again = replayed.checks(project, spread)
        forward = activations.checks(project, spread)
        for theme in THEMES:
            yield from theme(project)
        yield from again
        yield from scores.checks(project)
        yield from forward
