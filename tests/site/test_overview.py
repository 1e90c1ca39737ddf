from __future__ import annotations

import re
from contextlib import chdir
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stages import params
from stages.results import reading, relations
from stages.results.doubts import Doubt
from stages.results.reading import Results
from stages.site import overview
from stages.site.cost import Cost
from stages.site.picked import picked
from stages.site.work import Asked


class Page(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split()).replace("\N{EN DASH}", "-").replace("\N{MINUS SIGN}", "-")


@pytest.fixture(scope="session")
def pages(furnished: Path) -> dict[str, str]:
    with chdir(furnished):
        found = reading.read(params.load())
        return {
            "index.html": overview.index(found, {}, picked=picked(found, 0)),
            "similar-latents.html": overview.similar_latents(found),
        }


def test_the_policy_allows_styles_and_scripts_of_the_report_alone(pages: dict[str, str]) -> None:
    for html in pages.values():
        (policy,) = (
            attributes["content"]
            for _, attributes in Page(html).elements
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        assert policy == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )


def test_no_script_of_its_own_and_nothing_from_elsewhere(pages: dict[str, str]) -> None:
    local = {"index.html", "latents.html", "latent.html", "similar-latents.html", "matches.parquet"}
    for html in pages.values():
        for tag, attributes in Page(html).elements:
            assert tag not in ("style", "iframe", "object", "base", "form")
            assert tag != "script" or attributes["src"] in ("assets/theme.js", "assets/served.js")
            assert not any(name.startswith("on") or name == "style" for name in attributes)
            for name in ("src", "srcset", "href"):
                target = attributes.get(name) or ""
                file = target.partition("#")[0]
                assert not target or file in local or target.startswith(("data:", "assets/")), (tag, target)


def test_both_pages_have_the_same_head(pages: dict[str, str]) -> None:
    heads = {name: re.search("<header.*?</header>", html, re.DOTALL) for name, html in pages.items()}
    plain = {found[0].replace(' aria-current="page"', "") for found in heads.values() if found}
    assert len(plain) == 1
    for name, found in heads.items():
        assert found
        assert f'<a href="{name}" aria-current="page">' in found[0]


def test_the_overview_shows_counts_scores_and_floors(found: Results, pages: dict[str, str]) -> None:
    text = Page(pages["index.html"]).text
    assert "What the latents of demo/subject respond to" in text
    assert "64 tokens of 2 documents" in text
    assert "one layers.0 10 1 never 2.5 3 2 kept 1 2" in text, "latents, active on a token, chosen, explained by either"
    assert "detection balanced accuracy Coder 0.5 1 Score Floor one pattern 0.80 0.70-0.90 0.50" in text
    assert "two llm 0.90 0.80-1.00 0.50 4 latents scored, 4 unscored" in text
    assert "intruder accuracy Coder 0.25 1" not in text
    assert "0.75 0.75-0.75 0.20" in text
    assert "not explained by pattern: no rule fits" in text
    links = [attributes.get("href") for tag, attributes in Page(pages["index.html"]).elements if tag == "a"]
    assert {"latents.html#one", "latents.html#two", "similar-latents.html"} <= set(links)


def test_the_overview_opens_with_explanations_and_their_windows(pages: dict[str, str]) -> None:
    page = Page(pages["index.html"])
    assert page.text.index("Some of the explanations") < page.text.index("Bars are the scores")
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a" and "href" in attributes]
    assert "latent.html#one/2" in links
    shades = [attributes["class"] for tag, attributes in page.elements if "level" in (attributes.get("class") or "")]
    assert {"on level10", "on level9"} <= set(shades)


def test_what_was_left_out(found: Results) -> None:
    left_out = overview.left_out(found)
    assert ("one", 1, "dropped: never fires") in left_out
    assert ("two", 1, "not explained by pattern: no rule fits") in left_out
    assert ("two", 1, "explained by llm, unscored by embedding: no verdict") in left_out
    assert ("two", 1, "unscored by intruder: no decile has 4") in left_out


def test_pictures_are_for_light_and_dark_and_say_what_they_show(pages: dict[str, str]) -> None:
    pictures = [a for tag, a in Page(pages["index.html"]).elements if tag in ("img", "source")]
    assert len(pictures) == 4
    assert all((a.get("alt") or a.get("media")) for a in pictures)


def test_the_overview_shows_what_lies_beyond_the_headline(pages: dict[str, str]) -> None:
    text = Page(pages["index.html"]).text
    assert "Score natural F1 natural AUPRC random negatives surface negatives one pattern detection" in text
    assert "one pattern detection balanced accuracy 0.80 0.08 - 0.80 0.40" in text
    assert "embedding AUROC 0.60 - 0.06 0.60 -" in text
    assert "Latents, apart from their explanations" in text
    assert "random 0." not in text
    assert "Do scorers agree?" in text


def test_the_random_coder_stands_beside_the_floor(found: Results) -> None:
    one = found.coders["one"]
    random = replace(one, name="random", meta={**one.meta, "coder": {"format": "random", "k": 4}})
    page = Page(overview.index(replace(found, coders={"one": one, "random": random}), {}))
    assert page.text.count("0.50 random 0.80") == 2, "two explainers"
    assert page.text.count("0.20 random 0.75") == 1
    assert "random directions" in page.text


def test_costs_are_told_by_stage_and_coder(found: Results) -> None:
    costs = {
        Asked("one", "pattern", None): Cost(),
        Asked("one", "llm", None): Cost(2, 1000, 20),
        Asked("two", "llm", None): Cost(3, 2000, 30, 1),
        Asked("one", "llm", "detection"): Cost(1, 1, 1),
        Asked("one", "latent", "intruder"): Cost(4, 4, 4),
    }
    rows = overview.cost_rows(found, costs)
    assert [(stage, total) for stage, _, total in rows] == [
        ("llm", Cost(5, 3000, 50, 1)),
        ("detection of llm", Cost(1, 1, 1)),
        ("intruder", Cost(4, 4, 4)),
    ]
    text = Page(overview.index(found, costs)).text
    assert "llm 5 3,000 50 1 one 2 1,000 20 0 two 3 2,000 30 1" in text
    assert "In this process" not in text
    assert "no explainer and no scorer goes by one" in Page(overview.index(found, {})).text


def test_models_in_this_process_count_as_language_models(found: Results) -> None:
    costs = {
        Asked("one", "llm", "pmi"): Cost(read=96),
        Asked("two", "llm", "pmi"): Cost(read=1_000),
        Asked("one", "llm", "detection"): Cost(20, 300, 40, here=20),
    }
    text = Page(overview.index(found, costs)).text
    assert "no explainer and no scorer" not in text
    assert "pmi of llm - - - - 1,096 texts one - - - - 96 texts" in text
    assert "detection of llm 20 300 40 0 20 calls" in text


def test_judges_other_than_the_subject_are_named(found: Results) -> None:
    text = Page(overview.index(found, {}, judges={"/models/a<b": ["surprisal", "pmi"]})).text
    assert "surprisal and pmi: judged by a<b, not by demo/subject." in text
    assert "judged by" not in Page(overview.index(found, {})).text


def test_names_from_outside_are_escaped(found: Results) -> None:
    coder = found.coders["one"]
    coder.meta["subject"]["model"] = "<i>\u202esubject"
    html = overview.index(found, {})
    assert "<i>" not in html
    assert "&lt;i&gt;⟨U+202E⟩subject" in html
    coder.meta["subject"]["weights"] = "random"
    assert "subject with random weights" in overview.index(found, {})


def test_the_page_of_similar_latents_shows_pairs_lists_and_scores(pages: dict[str, str]) -> None:
    html = pages["similar-latents.html"]
    page = Page(html)
    assert "matched one to one by the directions they write" in page.text
    numbers = "0.51 0.39 to 0.64 0.25 0.25 0.70 0.04 0.25 0.25 0.25 0.25 2 2"
    assert f"one - two same place, 1 layer apart pattern {numbers}" in page.text
    assert "llm - too few latents are matched - - - - - - - - 2 2" in page.text
    assert "1 through 2 layers: matched from layer to layer at a cosine of at least 0.7" in page.text
    assert "one 7 two 2 0.20 dogs" in page.text
    hostile = '</script><img src=x onerror=alert(1)> "quoted"'
    assert f"0.90 0.10 one 2 {hostile}" in page.text
    assert "detection 0.80 embedding 0.60 two 3 dogs" in page.text
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert "latent.html#one/2" in links
    assert "latent.html#two/3" not in links, "that latent was not sampled, so it has no page"
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029\x1b]", html)


def test_the_matches_hold_the_scores_of_both_explanations(found: Results) -> None:
    table = relations.scored_matches(found)
    rows = table.select(["latent_a", "detection_a", "detection_b", "embedding_a", "embedding_b"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [(2, 0.8, None, 0.6, None), (7, None, 0.9, None, 0.6)]


def test_pairs_that_were_left_out_are_said_and_missed_nowhere(found: Results, pages: dict[str, str]) -> None:
    reasons = {"coders farther apart than the nearest layers at their place": 1200, "two coders of other projects": 1}
    choice = {"rule": "neighbours", "compared": 1, "of": 1202, "left_out": reasons}
    family = {"coders": ["one", "two", "three"], "counts": {"2": 1}, "chains": []}
    lists = {"llm": {"pairs": [], "unique": {}, "chains": [family]}}
    some = replace(found, choice=choice, lists=lists)
    said = (
        "1 of 1,202 pairs of coders are compared (neighbours); left out are 1,200 of coders farther apart than the nearest layers at "
        "their place, 1 of two coders of other projects."
    )
    similar = Page(overview.similar_latents(some)).text
    assert f"{said} The lists below go by the pairs that were." in similar
    assert "two and three were not compared, so none is followed from one to the other." in similar
    assert "one and two were not compared" not in similar
    assert "most distant relatives in the coders compared with theirs" in similar
    assert f"An empty field: they were not compared. {said}" in Page(overview.index(some, {})).text
    for html in pages.values():
        assert "not compared" not in html
    nothing = Page(overview.similar_latents(replace(some, pairs=[], lists={}))).text
    assert "No two coders were compared." in nothing


def test_coders_stand_in_the_order_of_params(found: Results) -> None:
    pair = found.pairs[0]
    pairs = [{**pair, "a": a, "b": b} for a, b in (("two", "theirs"), ("one", "theirs"))]
    assert replace(found, pairs=pairs).compared == ["one", "two", "theirs"]
    assert replace(found, pairs=[]).compared == []


def test_a_single_coder_has_nothing_in_common(found: Results) -> None:
    alone = replace(found, pairs=[], lists={}, choice={**found.choice, "of": 0})
    assert "There is a single coder: nothing to compare." in overview.similar_latents(alone)


def test_an_explainer_whose_latents_are_not_matched_has_no_figure_of_dashes(found: Results) -> None:
    bare = [{**pair, "explanation_cosine": None} for pair in found.pairs]
    drawn = [overview.index(replace(found, pairs=pairs), {}) for pairs in (found.pairs, bare)]
    assert ["Similarity of sparse coders" in html for html in drawn] == [True, False]


def test_what_is_to_be_doubted_stands_before_the_scores(found: Results) -> None:
    said = "the judge said yes to all 480 examples"
    page = overview.index(found, {}, doubts=[Doubt("one", "llm, detection", f"no score, as {said}")])
    assert page.index(f"one, llm, detection: no score, as {said}.") < page.index("<h2>Scores</h2>")
    assert "To be doubted" not in overview.index(found, {})
