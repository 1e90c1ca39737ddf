"""The report as it is written, opened: what the pages expect of the data and what the writer gives are one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.site.browser.watched import Watched

Watch = Callable[..., Watched]


def test_every_page_opens_and_all_that_lies_behind_a_latent(watch: Watch, report: Path) -> None:
    watched = watch(report)
    for name in ("index.html", "similar-latents.html"):
        page = watched.open(name)
        expect(page.get_by_role("link", name="Latents", exact=True)).to_have_attribute("href", "latents.html")
        assert page.evaluate("getComputedStyle(document.body).margin") == "0px", "the page has its style"
    page = watched.open("latents.html")
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    total = page.evaluate("columns.n")
    expect(page.locator("#count")).to_have_text(f"{total} latents")
    opened = set()
    for row in range(total):
        page = watched.open("latents.html")
        expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
        page.locator(f"#row-{row}").click()
        expect(page.locator("#where")).to_contain_text(f"{row + 1} of {total} in the table")
        expect(page.locator("article").first).to_be_visible()
        for opener in page.locator("button[data-panel]").all():
            opener.click()
            expect(page.locator(".panel")).to_have_attribute("aria-busy", "false")
            expect(page.locator(".panel .trouble")).to_have_count(0)
            opened.add(opener.get_attribute("data-panel"))
    assert len(opened) > 2


def test_a_verdict_of_a_language_model_shows_the_very_prompt(watch: Watch, report: Path) -> None:
    page = watch(report).open("latent.html#one/2/llm/detection")
    panel = page.get_by_role("region")
    panel.get_by_role("button", name="Prompt and answer").first.click()
    expect(panel.locator(".exchange").first).to_contain_text(
        re.compile(r"answered.*100 tokens asked, 7 answered.*latent 2, own", re.DOTALL)
    )


def test_chosen_colours_hold_for_the_figures_of_the_overview(watch: Watch, report: Path) -> None:
    page = watch(report).open("index.html")
    picture = page.locator("picture img").first

    def drawn() -> str:
        return str(picture.evaluate("image => image.currentSrc"))

    light = drawn()
    page.get_by_role("button", name="Dark colours").click()
    expect(page.get_by_role("button", name="Dark colours")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("before => document.querySelector('picture img').currentSrc !== before", arg=light)
    page.get_by_role("button", name="Dark colours").click()
    page.wait_for_function("before => document.querySelector('picture img').currentSrc === before", arg=light)
