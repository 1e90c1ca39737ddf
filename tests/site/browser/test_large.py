"""A hundred thousand latents: all are found, sorted and reached, while the page holds a screenful of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.site.browser.watched import Watched

if TYPE_CHECKING:
    from playwright.sync_api import Page

N = 100_000
ROWS = 100
"""More than a screenful."""

HELPERS = """
/** Acts, then steps frame by frame until it is done. */
globalThis.until = async (act, isDone, step) => {
  act();
  for (;;) {
    await new Promise(requestAnimationFrame);
    if (isDone()) return;
    step();
  }
};
"""


@pytest.fixture
def page(watch: Callable[..., Watched], large: Path) -> Iterator[Page]:
    watched = watch(large)
    watched.page.add_init_script(HELPERS)
    watched.open("latents.html")
    watched.page.evaluate(
        f"until(() => null, () => document.getElementById('count')?.textContent === '{N:,} latents', () => null)"
    )
    return watched.page


def until(page: Page, act: str, done: str, step: str = "null") -> None:
    page.evaluate(f"until(() => {{ {act} }}, () => {done}, () => {{ {step} }})")
    assert page.evaluate("document.querySelectorAll('.row').length") < ROWS


def test_a_hundred_thousand_latents_are_sorted_searched_and_scrolled(page: Page) -> None:
    for column in ("density", "score.llm/detection", "explanation"):
        done = f"grid.element.dataset.arranged.includes('{column}'.replace('/', '%2F')) && grid.element.ariaBusy === 'false'"
        until(page, f"document.querySelector('[data-key=\"{column}\"] button').click()", done)

    was = N
    for typed in ("r", "ri", "riv", "river", "river g", "river garden"):
        done = f"grid.element.dataset.arranged === location.hash && new URLSearchParams(location.hash.slice(1)).get('q') === '{typed}'"
        until(page, f"search.value = '{typed}'; search.dispatchEvent(new Event('input'))", done)
        found = page.evaluate("grid.rows.length")
        assert 0 < found <= was
        was = found
    assert page.evaluate(
        "[...grid.rows].every((row) => /river/i.test(columns.texts.get('llm')[row]) && /garden/i.test(columns.texts.get('llm')[row]))"
    )
    assert was == page.evaluate(
        "columns.texts.get('llm').filter((text) => /river/i.test(text) && /garden/i.test(text)).length"
    )

    until(page, "search.value = ''; search.dispatchEvent(new Event('input'))", f"grid.rows.length === {N}")
    end = "grid.element.scrollTop + grid.element.clientHeight >= grid.element.scrollHeight - 1"
    until(page, "null", end, "grid.element.scrollTop += grid.element.scrollHeight / 100")
    assert page.evaluate(f"document.getElementById('row-{N - 1}').hidden") is False
    until(page, "null", f"grid.element.scrollTop < {33 * (N - 300)}", "grid.element.scrollTop -= 150")
