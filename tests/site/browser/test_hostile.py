"""Texts of the corpus, of models and of answers that would run if they could: they are shown, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.site.browser.made_up import SCORERS
from tests.site.browser.watched import Watched

Watch = Callable[..., Watched]
SHOWN = "</script><script>window.pwned=1</script><img src=x onerror="


def inert(page: Page) -> None:
    """No element came of a text, no text reorders what stands beside it, and no address is other than the report's own."""
    assert (
        page.evaluate(
            "document.querySelectorAll('img, iframe, object, embed, style, [onerror], [onload], [style*=url]').length"
        )
        == 0
    )
    assert page.evaluate(
        "[...document.scripts].every((script) => !script.textContent && /^assets\\//.test(script.getAttribute('src')))"
    )
    assert page.evaluate("[...document.querySelectorAll('a[href]')].every((one) => one.protocol === 'file:')")
    assert "\u202e" not in page.locator("body").inner_text()


def test_the_table_shows_payloads_as_text(watch: Watch, hostile: Path) -> None:
    page = watch(hostile).open("latents.html")
    expect(page.locator("#count")).to_have_text("18 latents")
    expect(page.locator("#row-0")).to_contain_text(SHOWN)
    expect(page.locator("#row-0")).to_contain_text("⟨U+202E⟩gnp.exe")
    inert(page)
    page.locator("#q").fill(SHOWN)
    expect(page.locator("#count")).to_have_text("18 latents")
    page.goto(
        f"file://{hostile}/latents.html#coder=%3Cimg%20src%3Dx%20onerror%3D%22window.pwned%3D1%22%3E&q=%3Cscript%3Ewindow.pwned%3D1%3C/script%3E&sort=__proto__&by=constructor"
    )
    expect(page.locator("#q")).to_have_value("<script>window.pwned=1</script>")
    expect(page.locator("#count")).to_have_text("18 latents")
    inert(page)


def test_a_latent_and_all_behind_it_show_payloads_as_text(watch: Watch, hostile: Path) -> None:
    page = watch(hostile).open("latent.html#resid2/3")
    for place in ("#where", ".explanation .text", ".window", ".document", ".promoted", ".relatives", ".provenance"):
        expect(page.locator(place).first).to_contain_text(SHOWN)
    inert(page)
    panels = [
        "llm",
        "pattern",
        *(f"{'latent' if scorer['of_latents'] else 'llm'}/{scorer['name']}" for scorer in SCORERS),
    ]
    for panel in panels:
        page.goto(f"file://{hostile}/latent.html#resid2/3/{panel}")
        shown = page.locator(".panel")
        expect(shown).to_contain_text(SHOWN)
        for fold in page.locator("summary").all():
            fold.click()
        for prompt in shown.get_by_role("button", name="Prompt and answer").all()[:2]:
            prompt.click()
            expect(shown.locator(".exchange").first).to_contain_text(SHOWN)
        inert(page)


def test_an_address_is_no_way_in(watch: Watch, hostile: Path) -> None:
    watched = watch(hostile)
    for address in ("<img src=x onerror=window.pwned=1>/3", "../../x/3", "resid2/3/__proto__/constructor"):
        watched.page.goto("about:blank")
        page = watched.open(f"latent.html#{address}")
        expect(page.locator(".trouble, h1 span").first).to_be_visible()
        inert(page)
    assert all(
        url.endswith(("data/manifest.js", "data/resid2/latents/0.js")) for url in watched.requests if "/data/" in url
    )


def test_data_cannot_name_a_file_elsewhere(watch: Watch, hostile: Path) -> None:
    page = watch(hostile).open("latents.html")
    expect(page.locator("#count")).to_have_text("18 latents")
    for name in ("../x", "https://example.org/x", "x y", "/x", "a//b", "a/../b"):
        assert (
            page.evaluate("(name) => fetchShard(name).then(() => 'read', (error) => error.constructor.name)", name)
            == "Trouble"
        )


def test_markup_cannot_be_made_of_text(watch: Watch, hostile: Path) -> None:
    watched = watch(hostile)
    watched.expected = ("TrustedHTML",)
    page = watched.open("latent.html#resid2/3")
    expect(page.locator("h1")).to_have_text("resid2 3")
    refused = "() => { try { document.body.innerHTML = '<b>x</b>'; return false; } catch (error) { return error instanceof TypeError; } }"
    assert page.evaluate(refused)
    page.evaluate("violations.length = 0")
