"""A page of a report in Chromium, and what no page of it may ever do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

VIOLATIONS = """
globalThis.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Watched:
    """A page, and what it did."""

    page: Page
    folder: Path
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Parts of errors that a test brings about itself, by damaging a file."""

    def start(self) -> None:
        """Notes dialogs, errors, breaches of the policy and requests from now on."""
        self.page.add_init_script(VIOLATIONS)
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address: str) -> Page:
        """Goes to an address in the report's folder."""
        self.page.goto(f"file://{self.folder}/{address}")
        return self.page

    def check(self) -> None:
        """Nothing ran, nothing was refused by the policy, nothing went wrong, and nothing was asked of a network."""
        assert self.dialogs == []
        assert [error for error in self.errors if not any(part in error for part in self.expected)] == []
        assert self.page.evaluate("[globalThis.pwned === undefined, violations]") == [True, []]
        assert self.requests
        assert [url for url in self.requests if not url.startswith((f"file://{self.folder}/", "data:"))] == []
