"""Readable by all: contrast in light and dark, names and roles for those who hear the page, focus that can be seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.site.browser.watched import Watched

Watch = Callable[..., Watched]
PAGES = [
    "latents.html#by=llm",
    "latent.html#resid2/21/llm/detection",
    "latent.html#resid2/24/pattern/simulation",
    "latent.html#other/1",
]

# [contrast, text] of all texts that are seen, worst first: every colour is painted on a canvas above those behind it.
CONTRASTS = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    canvas.fillStyle = "white";
    canvas.fillRect(0, 0, 1, 1);
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => (element ? [...behind(element.parentElement), getComputedStyle(element).backgroundColor] : []);
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const text = [...element.childNodes].filter((child) => child.nodeType === 3).map((child) => child.data.trim()).join("");
    if (!text || !element.checkVisibility() || element.matches("option, noscript") || element.closest("[hidden]")) continue;
    const style = getComputedStyle(element);
    const backgrounds = behind(element);
    const ground = luminance(paint(backgrounds));
    const ink = luminance(paint([...backgrounds, element instanceof SVGElement ? style.fill : style.color]));
    found.push([(Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05), `${element.tagName}.${element.className.baseVal ?? element.className}: ${text.slice(0, 40)}`]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}"""

UNNAMED = """() => [...document.querySelectorAll("button, a[href], input, select, [role=grid], [role=img], article, section.panel, nav, aside")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.ariaLabel || one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim() || one.tagName === "SECTION"))
  .map((one) => one.outerHTML.slice(0, 80))"""


def ready(page: Page) -> None:
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    expect(page.locator(".row:not([hidden]) bdi, article, .trouble").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_a_contrast_of_at_least_4_5(watch: Watch, small: Path, scheme: str) -> None:
    watched = watch(small, color_scheme=scheme)
    for address in PAGES:
        watched.page.goto("about:blank")
        page = watched.open(address)
        ready(page)
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 5
        assert [entry for entry in contrasts if entry[0] < 4.5] == [], address
        assert page.evaluate(UNNAMED) == [], address


def test_the_button_changes_the_colours_and_the_choice_is_kept(watch: Watch, small: Path) -> None:
    watched = watch(small, color_scheme="light")
    page = watched.open("latents.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    button = page.get_by_role("button", name="Dark colours")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert page.evaluate(ground) == "rgb(26, 28, 32)"
    watched.open("latent.html#resid2/3")
    assert page.evaluate(ground) == "rgb(26, 28, 32)"


def test_the_system_decides_where_nobody_chose(watch: Watch, small: Path) -> None:
    page = watch(small, color_scheme="dark").open("latent.html#resid2/3")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(26, 28, 32)"
    page.emulate_media(color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_the_table_is_a_grid_to_those_who_hear_it(watch: Watch, small: Path) -> None:
    page = watch(small).open("latents.html")
    ready(page)
    grid = page.get_by_role("grid", name="Latents")
    expect(grid.get_by_role("columnheader")).to_have_count(12)
    head = grid.get_by_role("columnheader", name="density")
    expect(head).to_have_attribute("aria-sort", "none")
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(head.get_by_role("button")).to_be_focused()
    row = grid.get_by_role("row").nth(1)
    expect(row.get_by_role("gridcell")).to_have_count(12)
    assert page.evaluate(
        "[...document.querySelectorAll('.row:not([hidden])')].every((row) => row.parentElement.role === 'rowgroup' || row.parentElement.getAttribute('role') === 'rowgroup')"
    )
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"


def test_focus_can_be_seen(watch: Watch, small: Path) -> None:
    watched = watch(small)
    for address in ("latents.html", "latent.html#resid2/21"):
        page = watched.open(address)
        ready(page)
        seen = []
        for _ in range(16):
            page.keyboard.press("Tab")
            name, outline, width = page.evaluate(
                "(({ id, tagName }, style) => [id || tagName, style.outlineStyle, parseFloat(style.outlineWidth)])(document.activeElement, getComputedStyle(document.activeElement))"
            )
            seen.append(name)
            assert name == "BODY" or (outline == "solid" and width >= 2), name
        assert len(set(seen)) > 4


def test_a_phone_needs_no_sideways_scrolling(watch: Watch, small: Path) -> None:
    watched = watch(small, width=390, height=844)
    for address in PAGES:
        page = watched.open(address)
        ready(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
