"""The table of all latents, as a reader uses it."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.site.browser.watched import Watched

Watch = Callable[..., Watched]
KEPT = 48
"""Latents of each of the three coders, every third of those that there are."""


def rows(page: Page, column: int = 2) -> list[str]:
    """What a column of the table shows, from above."""
    cells = page.evaluate(
        """(column) => [...document.querySelectorAll(".row:not([hidden])")].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)
        .map((row) => row.children[column - 1].textContent)""",
        column,
    )
    assert isinstance(cells, list)
    return cells


def shown(page: Page, text: str) -> None:
    """Waits until that is what is said about the number of rows."""
    expect(page.locator("#count")).to_have_text(text)


def table(watch: Watch, folder: Path, address: str = "latents.html", **options: object) -> Page:
    """The table, read to its end."""
    page = watch(folder, **options).open(address)
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    return page


def test_all_latents_of_all_coders_are_listed(watch: Watch, small: Path) -> None:
    page = table(watch, small)
    shown(page, f"{3 * KEPT} latents")
    assert rows(page)[:4] == ["0", "3", "6", "9"]
    assert rows(page, 1)[0] == "resid2"
    expect(page.locator("#grid")).to_have_attribute("aria-rowcount", str(3 * KEPT + 1))
    assert rows(page, 3)[0].startswith("Fires on ")
    page.get_by_label("Explanations by").select_option("llm")
    expect(page.locator("#row-0")).to_contain_text("number 0 of resid2.")
    assert page.url.endswith("#by=llm")


def test_a_control_is_marked_as_one(watch: Watch, small: Path) -> None:
    page = table(watch, small, "latents.html#floor2")
    shown(page, f"{KEPT} of {3 * KEPT} latents")
    assert set(rows(page, 1)) == {"floor2control"}
    assert "random directions, a control" in page.locator("#coder option:checked").inner_text()


def test_search_finds_all_words_and_numbers(watch: Watch, small: Path) -> None:
    page = table(watch, small, "latents.html#by=llm")
    page.locator("#q").fill("NUMBER 21 mlp2")  # their explanations hold their number, the coder's name and “number”
    shown(page, f"1 of {3 * KEPT} latents")
    assert (rows(page, 1), rows(page)) == (["mlp2"], ["21"])
    page.locator("#q").fill("42")
    shown(page, f"3 of {3 * KEPT} latents")
    assert rows(page) == ["42", "42", "42"]
    page.locator("#q").fill("there is no such word")
    shown(page, f"0 of {3 * KEPT} latents")
    assert rows(page) == []


def test_of_a_coder_what_is_explained_comes_first(watch: Watch, small: Path) -> None:
    page = table(watch, small, "latents.html#by=llm")
    shown(page, f"{3 * KEPT} latents")
    found = page.evaluate(
        """() => [...grid.rows].map((row) => [columns.coder[row], columns.texts.get("llm")[row] === null, columns.latent[row]])"""
    )
    assert found == sorted(found)
    assert {bare for _, bare, _ in found} == {True, False}


def test_sorting_goes_both_ways_with_what_is_missing_last(watch: Watch, small: Path) -> None:
    page = table(watch, small, "latents.html#resid2")
    for column in ("density", "score.pattern/detection", "score.latent/intruder", "latent", "explanation"):
        head = page.locator(f'[role=columnheader][data-key="{column}"]')
        for _ in range(2):
            head.get_by_role("button").click()
            expect(head).to_have_attribute("aria-sort", re.compile("ascending|descending"))
            name = re.compile(r"sort=-?" + re.escape(column).replace("/", "%2F"))
            expect(page.locator("#grid")).to_have_attribute("data-arranged", name)
            found = page.evaluate(
                """(column) => {
                  const of = { density: columns.density, latent: columns.latent, explanation: columns.folded.get("pattern") };
                  const values = of[column] ?? columns.scores.get(column.slice(6));
                  const plain = (value) => (typeof value === "number" && Number.isNaN(value) ? null : value);
                  return [...grid.rows].map((row) => [plain(values[row]), columns.latent[row]]);
                }""",
                column,
            )
            assert len(found) == KEPT
            known = [value for value, _ in found if value is not None]
            assert known == sorted(known, reverse=head.get_attribute("aria-sort") == "descending")
            assert [value for value, _ in found[len(known) :]] == [None] * (KEPT - len(known))
            ties = [(latent, later) for (value, latent), (after, later) in pairwise(found) if value == after]
            assert all(latent < later for latent, later in ties), (
                "rows of the same value stay in the order of their latents"
            )


def test_a_range_of_a_score_and_explained_only(watch: Watch, small: Path) -> None:
    page = table(watch, small, "latents.html#coder=resid2&by=llm")
    page.get_by_label("Score that the range is of").select_option("fuzzing")
    page.get_by_label("Score from", exact=True).fill("0.5")
    page.get_by_label("Score to", exact=True).fill("0.8")
    expect(page.locator("#count")).not_to_have_text(f"{KEPT} of {3 * KEPT} latents")
    values = [float(text) for text in rows(page, 7)]
    assert values
    assert all(0.5 <= value <= 0.8 for value in values)
    page.goto("about:blank")
    page = table(watch, small, "latents.html#coder=resid2&by=llm&sort=latent")
    assert "not explained" in rows(page, 3)
    page.get_by_label("Explained only").check()
    shown(page, f"{KEPT - 6} of {3 * KEPT} latents")  # of resid2 18, 39, 60, 81, 102 and 123 are not
    assert "not explained" not in rows(page, 3)


def test_the_address_holds_the_state_and_back_restores_it(watch: Watch, small: Path) -> None:
    page = table(watch, small)
    page.get_by_label("Coder", exact=True).select_option("mlp2")
    shown(page, f"{KEPT} of {3 * KEPT} latents")
    assert page.url.endswith("latents.html#mlp2")
    page.locator("#q").press_sequentially("river")
    expect(page.locator("#count")).not_to_have_text(f"{KEPT} of {3 * KEPT} latents")
    page.locator("[data-key=density] button").click()
    assert page.url.endswith("#coder=mlp2&q=river&sort=-density")
    page.go_back()
    assert page.url.endswith("#coder=mlp2&q=river")
    page.go_back()  # what was typed is one step
    assert page.url.endswith("#mlp2")
    expect(page.locator("#q")).to_have_value("")
    shown(page, f"{KEPT} of {3 * KEPT} latents")
    page.go_forward()
    expect(page.locator("#q")).to_have_value("river")


def test_keys_move_open_and_come_back(watch: Watch, small: Path) -> None:
    page = table(watch, small)
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("river")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#grid")).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    selected = page.locator(".row[aria-selected=true]")
    expect(selected).to_have_attribute("aria-rowindex", "3")  # the second row, behind that of the heads
    expect(page.locator("#grid")).to_have_attribute("aria-activedescendant", "row-1")
    names = [f"{coder} {latent}" for coder, latent in zip(rows(page, 1), rows(page), strict=True)]
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(names[1])
    expect(page.locator("#where")).to_contain_text(f"2 of {len(names)} in the table")
    page.keyboard.press("n")
    expect(page.locator("h1")).to_have_text(names[2])  # the table's next, which is not the next number
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("p")
    expect(page.locator("h1")).to_have_text(names[0])
    page.go_back()  # steps are no entries of the history
    expect(page.locator("#q")).to_have_value("river")
    expect(selected).to_have_attribute("aria-rowindex", "3")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("open the latent")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_end_of_the_table_is_reached_by_key_and_by_scrolling(watch: Watch, small: Path) -> None:
    page = table(watch, small)
    page.keyboard.press("End")
    expect(page.locator(f"#row-{3 * KEPT - 1}")).to_be_in_viewport()
    assert rows(page)[-1] == str(3 * (KEPT - 1))
    page.evaluate("grid.element.scrollTop = 0")
    expect(page.locator("#row-0")).to_be_in_viewport()


def test_a_click_opens_a_latent(watch: Watch, small: Path) -> None:
    page = table(watch, small, "latents.html#mlp2")
    page.locator("#row-4").click()
    expect(page.locator("h1")).to_have_text("mlp2 12")
    page.get_by_role("link", name="Table").click()
    expect(page.get_by_label("Coder", exact=True)).to_have_value("mlp2")


def test_a_phone_shows_two_lines_a_latent(watch: Watch, small: Path) -> None:
    page = table(watch, small, "latents.html#sort=-density", width=390, height=844, has_touch=True)
    row = page.locator("#row-0")
    assert row.bounding_box()["height"] == 62
    assert row.locator(".lead").inner_text().endswith("%")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.locator("#range")).to_be_hidden()
    page.get_by_role("button", name="Filters").click()
    expect(page.locator("#range")).to_be_visible()
    page.get_by_label("Sort by").select_option("latent")
    expect(row).to_contain_text("resid2")


def test_a_missing_piece_is_named_and_the_rest_is_shown(watch: Watch, broken: Path) -> None:
    (broken / "data/mlp2/table/0.js").unlink()
    watched = watch(broken)
    watched.expected = ("ERR_FILE_NOT_FOUND",)
    page = watched.open("latents.html")
    expect(page.get_by_role("alert")).to_have_text(
        re.compile(r"^data/mlp2/table/0\.js, which belongs to this page, can't be read: .*dvc repro.*\.$")
    )
    shown(page, f"{3 * KEPT - 40} latents")


def test_a_damaged_manifest_is_one_sentence(watch: Watch, broken: Path) -> None:
    watched = watch(broken)
    watched.expected = ("Invalid or unexpected token",)
    for content in (
        'glossa("manifest","{\\"version\\":1,',
        'glossa("manifest","{\\"version\\":");',
        'glossa("other","{}");',
    ):
        (broken / "data/manifest.js").write_text(content)
        watched.page.goto("about:blank")
        page = watched.open("latents.html")
        expect(page.get_by_role("alert")).to_have_text(re.compile(r"^data/manifest\.js is damaged, .*\.$"))


def test_a_report_of_another_version_is_refused(watch: Watch, broken: Path) -> None:
    (broken / "data/manifest.js").write_text('glossa("manifest","{\\"version\\":2}");')
    page = watch(broken).open("latents.html")
    expect(page.get_by_role("alert")).to_have_text(re.compile("version 1, data/manifest.js is of version 2"))
