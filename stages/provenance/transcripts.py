"""Whether transcripts are whole: every key stands for its request, and the journal had the same answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from stages import paths
from stages.llm.journal import canonical, transcript
from stages.llm.journal.store import Journal
from stages.llm.received import text
from stages.machine import runtime
from stages.provenance.check import Check
from stages.provenance.project import Project

NO_JOURNAL = "there is no journal here"
NOT_IN_JOURNAL = "this journal never had them"


def checks(project: Project) -> Iterator[Check]:
    """Yields the checks of keys and of the journal."""
    keys = Check("keys", "the key of every call, and the sha256 of what was sent")
    answers = Check("journal", "the answer of every call, and the journal of whoever asked")
    folders = [*(result.folder for result in (*project.explained, *project.scored)), paths.SIMILARITY]
    home = runtime.home() / "journal.sqlite"
    journal = Journal(home) if home.is_file() else None
    for folder in folders:
        path = folder / transcript.NAME
        if path.is_file():
            with keys.reading(str(path)):
                _read(path, journal, keys, answers)
    if journal is not None:
        journal.close()
    yield keys
    yield answers


def _read(path: Path, journal: Journal | None, keys: Check, answers: Check) -> None:
    first: dict[str, tuple[int, bytes]] = {}  # a question that a stage asks twice has one answer
    for row, call in enumerate(transcript.read(path)):
        item = f"{path}, row {row}"
        due = canonical.key(call.endpoint, call.request, call.sample, call.path)
        keys.expect(call.key == due, item, f"has the key {call.key[:12]}…, but its request has {due[:12]}…")
        told = hashlib.sha256(b"%d %s" % (call.status, call.response)).digest()
        before, other = first.setdefault(call.key, (row, told))
        if other != told:
            keys.fail(item, f"has another answer than row {before}, which has the same key")
        kept = journal.get(call.key) if journal else None
        if kept is None:
            answers.skip(item, NOT_IN_JOURNAL if journal else NO_JOURNAL)
        else:
            same = (kept.status, text(kept.response)) == (call.status, text(call.response))
            answers.expect(same, item, "is not what the journal keeps of this call")
