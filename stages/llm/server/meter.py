"""What a stage's calls come to so far: the line under its progress bar."""

from __future__ import annotations

from dataclasses import dataclass

from stages.llm.call import Usage
from stages.llm.journal.store import Cost


@dataclass
class Meter:
    """Counts of one stage; nothing of it is a result."""

    sent: int = 0
    """Answers that came by a call."""
    known: int = 0
    """Answers that the journal had."""
    failed: int = 0
    """Attempts that brought no answer."""
    elsewhere: int = 0
    """Questions that another process asks just now, whose answers are waited for."""
    unread: int = 0
    """Answers that could not be read, each asked again or left unscored."""
    prompt: int = 0
    completion: int = 0
    dollars: float = 0.0
    waiting: str = ""
    """Why the last attempt failed, until the next answer comes."""

    def answered(self, usage: Usage, cost: Cost | None) -> None:
        """Counts an answer."""
        self.sent += 1
        self.prompt += usage.prompt or 0
        self.completion += usage.completion or 0
        self.dollars += cost.dollars if cost else 0.0
        self.waiting = ""

    def __str__(self) -> str:
        parts = [f"{self.known:,} known"] if self.known else []
        parts += [f"{self.elsewhere:,} asked by another process"] if self.elsewhere else []
        parts += [f"{self.prompt + self.completion:,} tokens"] if self.sent else []
        parts += [f"${self.dollars:,.2f}"] if self.dollars else []
        parts += [f"{self.failed:,} failed attempts"] if self.failed else []
        parts += [f"{self.unread:,} unreadable"] if self.unread else []
        return ", ".join(parts) + (f"; last: {self.waiting}" if self.waiting else "")
