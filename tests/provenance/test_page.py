"""The page of an audit: all that was found, inert."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

from stages.provenance.check import Check
from stages.provenance.page import page
from stages.provenance.project import Project
from tests.results.furnished import HOSTILE


class Read(HTMLParser):
    """Which elements a page has, and its texts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def checks() -> list[Check]:
    sound, wrong, empty = Check("lock", "this and that"), Check("inputs", "those and these"), Check("keys", "nothing")
    sound.passed(1234)
    for number in range(25):
        wrong.fail(f"{HOSTILE} {number}", HOSTILE)
    for number in range(30):
        wrong.skip(f"item {number}", HOSTILE)
    return [sound, wrong, empty]


def test_everything_found_is_on_it_and_nothing_acts(project: Path) -> None:
    source = page(Project.here(sample=3), checks())
    read = Read(source)
    texts = " ".join(filter(None, read.texts))
    assert "1 of 3 checks failed: inputs" in texts
    assert (
        "1,259 comparisons in 3 checks, 30 things not checked. Activations were computed anew in 3 windows of every coder."
        in texts
    )
    assert "25 of 25 failed" in texts
    assert "… and 5 more" in texts
    assert "30 not checked" in texts
    assert "… and 10 more" in texts
    assert {tag for tag, _ in read.elements} & {"script", "img", "link", "iframe", "form"} == set()
    assert "\u202e" not in source
    assert "\x1b" not in source
    named = {attributes["id"] for _, attributes in read.elements if "id" in attributes}
    linked = {attributes["href"] for tag, attributes in read.elements if tag == "a"}
    assert linked == {"#inputs"} == {f"#{name}" for name in named}


def test_its_policy_lets_its_own_style_in_and_nothing_else(project: Path) -> None:
    read = Read(page(Project.here(), checks()))
    (policy,) = [a["content"] for _, a in read.elements if a.get("http-equiv") == "Content-Security-Policy"]
    (style,) = re.findall("<style>(.*?)</style>", page(Project.here(), checks()), re.DOTALL)
    own = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{own}'; base-uri 'none'; form-action 'none'"


def test_a_sound_project_is_said_to_be(project: Path) -> None:
    assert '<h2 class="right">Nothing differs</h2>' in page(Project.here(), checks()[:1])
