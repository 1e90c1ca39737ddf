"""The live test in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from stages import paths
from tests.chromium import chromium
from tests.serve.conftest import HOSTILE, Served

TEXT = "Is it raining? <b onclick=alert(1)>Yes</b> 😀,\nit is."


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = context.new_page()
    troubles: list[str] = []
    asked: list[str] = []
    found.on("pageerror", lambda error: troubles.append(str(error)))
    found.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    found.on("request", lambda request: asked.append(request.url))
    yield found
    assert found.evaluate("window.pwned") is None
    assert [url for url in asked if not url.startswith((served.origin, "data:"))] == []
    assert troubles == []
    context.close()


def read(page: Any, served: Served, address: str, text: str = TEXT) -> None:
    page.goto(f"{served.origin}/live.html{address}")
    page.wait_for_selector("#coder option", state="attached")
    page.fill("#text", text)
    page.keyboard.press("Control+Enter")
    page.locator("#status", has_text=" s)").wait_for()


def lit(page: Any) -> list[str]:
    return page.eval_on_selector_all("#tokens .on", "nodes => nodes.map(node => node.textContent)")


def test_a_text_lights_up_where_the_server_says(page: Any, served: Served) -> None:
    with page.expect_response("**/api/test") as waiting:
        read(page, served, "#two")
    found = waiting.value.json()
    first = found["latents"][0]
    assert found["coder"] == "two"
    assert lit(page) == [found["tokens"][place] for place in first["where"] if found["tokens"][place]]
    assert page.inner_text("#chosen") == f"Shaded by latent {first['latent']}"
    assert page.text_content("#tokens") == "".join(found["tokens"]).replace("↵", "↵\n")
    assert page.locator("#latents li").count() == min(50, len(found["latents"]))
    shown = page.eval_on_selector_all("#latents .name", "nodes => nodes.map(node => node.textContent)")
    assert shown == [f"two {latent['latent']}" for latent in found["latents"]][:50]


def test_a_link_from_a_latent_shows_that_latent(page: Any, served: Served) -> None:
    read(page, served, "#one/4")
    assert page.input_value("#coder") == "one"
    assert page.input_value("#wanted") == "4"
    assert page.locator("#latents li").count() == 1
    assert page.locator("#latents .said").inner_text() == "about 4"
    assert page.locator("#latents a").get_attribute("href") == "latent.html#one/4"
    page.click("#latents a")
    page.wait_for_url("**/latent.html#one/4")
    page.go_back()
    assert page.evaluate("location.hash") == "#one/4"


def test_a_token_tells_what_fires_there(page: Any, served: Served) -> None:
    with page.expect_response("**/api/test") as waiting:
        read(page, served, "#one")
    found = waiting.value.json()
    place = next(place for place, token in enumerate(found["tokens"]) if place and token)
    here = {
        one["latent"]: one["values"][one["where"].index(place)] for one in found["latents"] if place in one["where"]
    }
    page.locator("#tokens .piece").first.focus()
    page.keyboard.press("Enter")
    shown = page.eval_on_selector_all("#latents .name", "nodes => nodes.map(node => node.textContent)")
    assert shown == [f"one {latent}" for latent in sorted(here, key=lambda latent: (-here[latent], latent))]
    assert page.get_attribute("#tokens .piece >> nth=0", "aria-pressed") == "true"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement === document.querySelectorAll('.piece')[1]")
    page.keyboard.press("Escape")
    assert page.locator("#latents li").count() == min(50, len(found["latents"]))


def test_hostile_text_and_explanations_are_only_text(page: Any, served: Served) -> None:
    read(page, served, "#one", f"\u202e{HOSTILE}")
    assert page.locator("main img, main script, main b[onclick]").count() == 0
    assert any("<img src=x onerror=" in text for text in page.locator("#latents .said").all_inner_texts())
    assert "⟨U+202E⟩" in page.inner_text("#tokens")


def test_mistakes_are_said(page: Any, served: Served) -> None:
    page.goto(f"{served.origin}/live.html")
    page.wait_for_selector("#coder option", state="attached")
    page.fill("#wanted", "three")
    page.click("#run")
    assert page.inner_text("#status") == "Latents should be numbers such as 3, 17"
    page.fill("#wanted", "")
    page.fill("#text", "some " * 400)
    page.click("#run")
    page.locator("#status", has_text="left out").wait_for()
    assert page.is_visible("#result")


def test_on_a_phone_nothing_sticks_out(page: Any, served: Served) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    read(page, served, "#one", "a" * 60 + " " + TEXT)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_served_latent_links_to_its_test(page: Any, served: Served) -> None:
    report = paths.REPORT
    (report / "served.html").write_text(
        "<!doctype html><link rel='icon' href='data:,'><script src='assets/served.js'></script>"
        "<header><nav><a href='index.html'>Overview</a></nav></header>"
    )
    shutil.copy(report / "served.html", report / "latent.html")
    page.goto(f"{served.origin}/served.html#one/4")
    assert page.locator("nav a").evaluate_all("links => links.map(link => link.getAttribute('href'))") == [
        "index.html",
        "live.html",
    ]
    page.goto(f"{served.origin}/latent.html#one/4/detection")
    page.evaluate("history.replaceState(null, '', '#one/5/detection')")
    page.get_by_text("Live test").click()
    page.wait_for_url("**/live.html#one/5")
