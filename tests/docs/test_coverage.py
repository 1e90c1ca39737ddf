"""Every command of README and docs is typed by a test, or stands in a list with the reason why not."""

from __future__ import annotations

import re

import pytest

from stages.cli import STAGES
from tests.docs.printed import PAGES, commands, spans, text_of
from tests.docs.steps import NOT_TYPED, TYPED

TYPED_AT_ALL = {step.command for place in TYPED for steps in place.values() for step in steps}
PLACEHOLDER = re.compile(r"[A-Z]+")
"""A word that stands for a name of the reader's own."""


def is_of(said: str, typed: str) -> bool:
    """Whether a word about a command is about one that is typed: it begins so, with names in the place of capitals, options left out."""
    words = re.sub(r" \[[^]]*\]", "", said).split()
    other = typed.split()[: len(words)]
    return len(other) == len(words) and all(
        a == b or PLACEHOLDER.fullmatch(a) for a, b in zip(words, other, strict=True)
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_typed_or_listed(page: str) -> None:
    listed = {one.command for one in NOT_TYPED.get(page, ())}
    here = {step.command for place in TYPED for step in place.get(page, ())}
    in_passing = set(spans(page))
    missing = [
        command
        for command in commands(page)
        if command not in here | listed
        and not (command in in_passing and any(is_of(command, typed) for typed in TYPED_AT_ALL))
        and not (command in in_passing and command.removeprefix("glossa ") in STAGES)  # dvc repro runs them
    ]
    assert missing == []


@pytest.mark.parametrize("page", NOT_TYPED)
def test_what_is_listed_is_printed_and_has_a_reason(page: str) -> None:
    printed = commands(page)
    assert [one.command for one in NOT_TYPED[page] if one.command not in printed] == []
    assert all(len(one.why) > 10 for one in NOT_TYPED[page])


def test_what_is_typed_is_printed() -> None:
    helping = {("docs/share.md", "rm -r pattern")}
    for place in TYPED:
        for page, steps in place.items():
            unprinted = [step.command for step in steps if step.command not in commands(page)]
            assert [command for command in unprinted if (page, command) not in helping] == [], page


def test_latents_that_pages_name_have_a_page_of_the_demo() -> None:
    """A link or a command that names a latent of the demo names one that every scorer scored; test_typed.py looks it up."""
    known = {("resid2", 730), ("resid7", 2749)}
    toys = {"docs/coders.md", "docs/compare.md", "docs/demo.md", "docs/findings.md"}
    for page in PAGES:
        if page not in toys:
            named = re.findall(r"\b(resid\w+)[ /](\d+)\b", text_of(page))
            assert {(coder, int(latent)) for coder, latent in named} <= known, page
