"""The page of one latent, as a reader uses it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.site.browser.made_up import WORDS
from tests.site.browser.watched import Watched

Watch = Callable[..., Watched]


def chip(page: Page, explainer: str, scorer: str) -> Locator:
    return page.locator(f'button[data-panel="{explainer}/{scorer}"]')


def test_all_about_a_latent_is_shown(watch: Watch, small: Path) -> None:
    page = watch(small).open("latent.html#resid2/21")
    expect(page.locator("h1")).to_have_text("resid2 21")
    expect(page).to_have_title("resid2 21 · Glossa")
    expect(page.locator("#where")).to_have_text("layers.2")
    explanations = page.locator("article")
    expect(explanations).to_have_count(3)
    expect(explanations.nth(0).locator(".text")).to_have_text(re.compile("^Fires on “"))
    expect(explanations.nth(1).locator(".text")).to_have_text(re.compile("number 21 of resid2.$"))
    expect(explanations.nth(0).locator(".by")).to_contain_text(re.compile(r"^by pattern(?!:)"))
    expect(explanations.nth(1).locator(".by")).to_contain_text("by llm: hand-written by Ada, from the train windows")
    aside = page.locator("aside")
    expect(aside).to_contain_text("1,283 tokens")
    expect(aside.locator(".bar")).to_have_count(20)
    expect(aside.get_by_role("img", name=re.compile("^Histogram of activations from 0 to 30; most, "))).to_be_visible()
    assert aside.locator(".promoted li").first.inner_text().split() == ["·river", "0.8"]
    assert aside.locator(".suppressed li").first.inner_text().split() == ["number↵", "\N{MINUS SIGN}0.6"]
    expect(aside.locator(".provenance")).to_contain_text(64 * "b")
    expect(aside).to_contain_text("glossa trace resid2 21")
    expect(page.locator("#said h2")).to_have_text(["Explanations", "Strongest windows", "From every decile"])
    expect(page.locator(".windows li")).to_have_count(14)
    expect(aside.get_by_role("link", name="mlp2 21")).to_have_attribute("href", "#mlp2/21")


def test_what_is_written_to_several_places_is_shown_for_each(watch: Watch, small: Path) -> None:
    watched = watch(small)
    page = watched.open("latent.html#mlp2/21")
    written = page.locator("section", has=page.get_by_role("heading", name="Written at"))
    expect(written.locator("li")).to_have_count(2)
    expect(written.locator("li").first).to_contain_text("layers.2.mlp · norm 0.25")
    expect(written.locator("li").nth(1)).to_contain_text("layers.3.mlp · norm 1.5")
    expect(written.locator("li").first.locator(".token")).to_have_text(WORDS[:5])
    page.goto(page.url.replace("mlp2", "resid2"))
    expect(page.get_by_role("heading", name="Output tokens")).to_be_visible()
    expect(page.get_by_role("heading", name="Written at")).to_have_count(0)


def test_a_window_shades_and_marks_its_tokens(watch: Watch, small: Path) -> None:
    page = watch(small).open("latent.html#resid2/0")
    first = page.locator(".window").first
    tokens = first.locator(".on")
    expect(tokens).to_have_count(3)  # one of them a character that two tokens spell
    assert tokens.nth(1).inner_text() == "é"
    assert tokens.evaluate_all(
        "(all) => all.map((one) => [one.style.getPropertyValue('--level'), one.classList.contains('marks')])"
    ) == [
        ["1.000", True],
        ["0.333", True],  # at least 30 % of the window's maximum
        ["0.125", False],
    ]
    assert ".↵" in first.inner_text()  # a line break can be seen
    expect(first.locator(".special").first).to_have_text("<|endoftext|>")
    tokens.nth(1).hover()
    expect(page.get_by_role("tooltip")).to_have_text("activation 10")
    page.locator(".windows").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tooltip")).to_have_text("activation 30")
    page.keyboard.press("ArrowRight")
    expect(tokens.nth(1)).to_be_focused()
    expect(page.locator("h1")).to_have_text("resid2 0")  # the arrows were the window's
    page.locator(".column").first.hover()
    expect(page.get_by_role("tooltip")).to_have_text(re.compile(r"^0 \S 1\.5: [\d,]+ tokens?$"))


def test_a_score_opens_its_verdicts_and_the_very_prompt(watch: Watch, small: Path) -> None:
    page = watch(small).open("latent.html#resid2/21")
    detection = chip(page, "llm", "detection")
    expect(detection).to_contain_text(re.compile(r"detection.*balanced accuracy.*floor 0\.41.*natural F1", re.DOTALL))
    expect(detection).to_have_attribute("aria-expanded", "false")
    detection.click()
    expect(detection).to_have_attribute("aria-expanded", "true")
    panel = page.get_by_role("region", name="Verdicts of detection, explanation by llm")
    expect(panel).to_contain_text("Right on 24 of 27 windows in which it fires, and on 24 of 27 in which it is silent.")
    assert page.url.endswith("#resid2/21/llm/detection")
    panel.get_by_role("button", name="Wrong 6").click()
    expect(panel.locator(".verdicts > li")).to_have_count(6)
    expect(panel.locator(".verdict").first).to_have_attribute("aria-label", "wrong")
    panel.get_by_role("button", name="No verdict 6").click()
    expect(panel.locator(".verdicts > li").first).to_contain_text("no verdict: the answer has no verdict on it")
    expect(panel.locator(".verdicts > li").last).to_contain_text("The window at token 1,000,000 is not in the report.")
    panel.get_by_role("button", name="All 60").click()
    expect(panel.locator(".verdicts > li")).to_have_count(40)
    panel.get_by_role("button", name="20 more of 60").click()
    expect(panel.locator(".verdicts > li")).to_have_count(60)
    item = panel.locator(".verdicts > li").first
    item.get_by_role("button", name="Prompt and answer").click()
    exchange = item.locator(".exchange")
    expect(exchange).to_contain_text("some/model-7b · endpoint judge · 512 tokens asked, 24 answered")
    expect(exchange.locator("pre").last).to_have_text('{"A": true, "B": false}')
    common = exchange.locator("details pre")
    expect(common.first).to_be_hidden()  # what all calls begin with is folded
    exchange.locator("summary").click()
    expect(common.first).to_have_text("You judge texts.\nAnswer in JSON.")
    panel.get_by_role("button", name=re.compile("^Another latent.s, the floor$")).click()
    expect(panel.locator(".verdicts > li")).to_have_count(40)
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    assert page.url.endswith("#resid2/21")


def test_verdicts_of_every_kind(watch: Watch, small: Path) -> None:
    page = watch(small).open("latent.html#resid2/24/pattern/embedding")
    panel = page.get_by_role("region")
    expect(
        panel.get_by_role("img", name=re.compile("embedding value of the windows: median .* where it fires"))
    ).to_be_visible()
    values = [
        float(text.split()[-1])
        for text in panel.locator(".source span:last-child").all_inner_texts()
        if text.startswith("value")
    ]
    assert len(values) == 40
    assert values == sorted(values, reverse=True)
    chip(page, "pattern", "simulation").click()
    expect(panel.locator(".predicted").first).to_be_visible()
    assert (
        panel.locator(".verdicts > li")
        .first.locator(".window")
        .evaluate_all("(all) => new Set(all.map((one) => one.textContent)).size")
        == 1
    )
    chip(page, "pattern", "intervention").click()
    expect(panel.locator(".verdicts > li").first).to_contain_text("It was written.↵Once 0.")
    chip(page, "pattern", "sensitivity").click()
    expect(panel).to_contain_text("It fires on 7 of 10 texts written from the explanation.")
    expect(panel.locator(".verdicts > li").last).to_have_text(
        re.compile(r"^✗silent *maximum 0A river by a stone, 9\.$")
    )
    chip(page, "latent", "intruder").click()
    expect(panel).to_have_accessible_name("Verdicts of intruder")
    expect(panel.get_by_role("group", name="Explanation")).to_have_count(0)  # there is no other explanation
    page.locator('button[data-panel="llm"]').click()
    expect(panel).to_contain_text(re.compile("some/model.*Prompt and answer.*Which of these fit", re.DOTALL))
    page.locator('button[data-panel="pattern"]').click()
    expect(panel.locator(".facts").last).to_contain_text(re.compile(r"precision\s*0\.9123"))


def test_a_deep_link_opens_what_it_names_and_steps_keep_it_open(watch: Watch, small: Path) -> None:
    page = watch(small).open("latent.html#resid2/93/llm/detection")
    panel = page.get_by_role("region", name="Verdicts of detection, explanation by llm")
    expect(panel).to_be_in_viewport()
    page.keyboard.press("n")  # its neighbour lies in the next shard
    expect(page.locator("h1")).to_have_text("resid2 96")
    expect(panel).to_be_in_viewport()
    assert page.url.endswith("#resid2/96/llm/detection")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("p")
    page.keyboard.press("p")
    expect(page.locator("h1")).to_have_text("resid2 87")
    page.get_by_role("link", name="Next").click()
    expect(page.locator("h1")).to_have_text("resid2 90")
    page.keyboard.press("u")
    expect(page).to_have_url(re.compile("latents.html#resid2$"))


def test_the_ends_have_no_neighbour(watch: Watch, small: Path) -> None:
    page = watch(small).open("latent.html#resid2/0")
    before = page.locator("#before")
    expect(before).to_have_attribute("aria-disabled", "true")
    assert before.get_attribute("href") is None
    page.goto(f"file://{small}/latent.html#resid2/141")
    expect(page.locator("#after")).to_have_attribute("aria-disabled", "true")


def test_reasons_and_samples_are_told(watch: Watch, small: Path) -> None:
    page = watch(small).open("latent.html#resid2/6")
    article = page.get_by_role("article", name="Explanation by llm")
    expect(chip(page, "llm", "fuzzing")).to_have_text(re.compile("unscored: no example was called active$"))
    expect(article.locator(".outside")).to_have_text("Not in the sample of detection.")
    page.goto(f"file://{small}/latent.html#resid2/18")
    expect(article).to_contain_text("Not explained: the model's answer could not be read.")


def test_a_control_is_called_one_and_may_have_nothing_behind_its_scores(watch: Watch, small: Path) -> None:
    page = watch(small).open("latent.html#floor2/0/llm/detection")
    expect(page.locator("#where")).to_have_text("layers.2 · random directions, a control")
    expect(page.locator(".chip")).to_have_count(13)
    expect(page.locator("button.chip, .panel, button.fold")).to_have_count(0)


ABSENT = {
    "": "The address should name a latent, as in latent.html#resid2/17: choose one from the table.",
    "#other/3": "This report has no coder “other”, it has resid2, mlp2, floor2: choose a latent from the table.",
    "#resid2/x": "A latent is named by its number, as in latent.html#resid2/17, found “x”: choose one from the table.",
    "#resid2/1": "Latent 1 of resid2 was chosen but dropped, fires on fewer than 200 tokens: choose another from the table.",
    "#resid2/2": "Latent 2 of resid2 was not sampled, 48 of 144 are in this report: choose another from the table.",
    "#resid2/144": "resid2 has 144 latents, numbered from 0; there is no 144: choose one from the table.",
    "#resid2/%E0": "The address can't be read: choose a latent from the table.",
}


def test_a_latent_that_is_not_there_is_one_sentence(watch: Watch, small: Path) -> None:
    page = watch(small).open("latent.html#mlp2/3")
    for address, sentence in ABSENT.items():
        page.goto(f"file://{small}/latent.html{address}")
        expect(page.get_by_role("alert")).to_have_text(sentence)
        expect(page.locator("#said")).to_be_empty()
        page.goto(f"file://{small}/latent.html#mlp2/3")
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.locator("h1")).to_have_text("mlp2 3")


def test_missing_verdicts_are_told_in_their_place(watch: Watch, broken: Path) -> None:
    (broken / "data/resid2/verdicts/llm/detection/0.js").unlink()
    watched = watch(broken)
    watched.expected = ("ERR_FILE_NOT_FOUND",)
    page = watched.open("latent.html#resid2/21/llm/detection")
    expect(page.locator(".panel")).to_have_text(
        re.compile(r"^data/resid2/verdicts/llm/detection/0\.js, which belongs to this page, can't be read: .*\.$")
    )
    expect(page.locator("h1")).to_have_text("resid2 21")
    (broken / "data/mlp2/latents/0.js").write_text("")
    page.goto(f"file://{broken}/latent.html#mlp2/3")
    expect(page.get_by_role("alert")).to_have_text(re.compile(r"^data/mlp2/latents/0\.js is damaged, "))
