from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stages.publish import embedded, pages, relations
from stages.publish.results import Results
from tests.folders import tree

LOCAL = ("index.html", "one.html", "two.html", "similar-latents.html", "matches.parquet")


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": [], "json": []}
        self.texts: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = "json" if dict(attrs).get("type") == "application/json" else tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.raw.get(self._inside, self.texts).append(data)

    def policy(self) -> str:
        (content,) = (a["content"] for _, a in self.elements if a.get("http-equiv") == "Content-Security-Policy")
        assert content is not None
        return content


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.fixture
def coder_page(found: Results) -> str:
    return pages.page(found, found.coders["one"], 3)


def test_the_policy_allows_our_own_style_and_script_alone(found: Results, coder_page: str) -> None:
    page, overview = Page(coder_page), Page(pages.index(found))
    assert page.policy() == (
        f"default-src 'none'; script-src {_hash(page.raw['script'][0])}; style-src {_hash(page.raw['style'][0])}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    assert len(page.raw["script"]) == 1
    assert overview.raw["script"] == []
    assert "script-src" not in overview.policy()
    assert _hash(overview.raw["style"][0]) in overview.policy()


def test_hostile_text_stays_text(coder_page: str) -> None:
    page = Page(coder_page)
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert not {"img", "iframe", "object", "b"} & {tag for tag, _ in page.elements}
    data = json.loads(page.raw["json"][0])
    assert data["latents"][0]["explanations"][1]["text"].startswith("</script><img src=x onerror=alert(1)>")
    assert data["latents"][0]["windows"][2][3] == "second <b>"
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029\x1b]", coder_page)


def test_nothing_is_loaded_from_elsewhere(found: Results, coder_page: str) -> None:
    for html in (coder_page, pages.index(found), pages.similar_latents(found)):
        for tag, attributes in Page(html).elements:
            assert "style" not in attributes
            assert not any(name.startswith("on") for name in attributes)
            for name in ("src", "srcset", "href"):
                target = attributes.get(name) or ""
                file = target.partition("#")[0]
                local = file in LOCAL or target.startswith(("data:", "#"))
                assert not target or local, (tag, target)
        assert "url(" not in Page(html).raw["style"][0]


def test_the_script_makes_no_markup_from_data() -> None:
    script = (Path(pages.__file__).parent / "page.js").read_text(encoding="utf-8")
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "DOMParser",
        "fetch(",
    ):
        assert way not in script
    assert "</script" not in script


def test_the_overview_shows_scores_with_their_floors_and_what_is_missing(found: Results) -> None:
    html = pages.index(found)
    text = " ".join("".join(Page(html).texts).split())
    assert "What the latents of demo/subject respond to" in text
    assert "64 tokens of 2 documents" in text
    assert "0.90 floor 0.50" in re.sub(r"(?<=\d)(?=floor)", " ", text)
    assert ("one", 1, "dropped: never fires") in pages.left_out(found)
    assert ("two", 1, "not explained by pattern: no rule fits") in pages.left_out(found)
    assert ("two", 1, "explained by llm, unscored by embedding: no verdict") in pages.left_out(found)
    assert ("two", 1, "unscored by intruder: no decile has 4") in pages.left_out(found)
    assert "not explained by pattern: no rule fits" in text
    pictures = [a for tag, a in Page(html).elements if tag in ("img", "source")]
    assert len(pictures) == 6
    assert all((a.get("alt") or a.get("media")) for a in pictures)


def test_the_overview_shows_what_lies_beyond_the_headline(found: Results) -> None:
    text = " ".join(" ".join(Page(pages.index(found)).texts).split()).replace("\N{EN DASH}", "-")
    assert "Score natural F1 natural AUPRC random negatives surface negatives one pattern detection" in text
    assert "one pattern detection balanced accuracy 0.80 0.08 - 0.80 0.40" in text
    assert "embedding AUROC 0.60 - 0.06 0.60 -" in text
    assert "Latents, apart from their explanations" in text
    assert "0.75 chance 0.20" in text
    assert "random directions 0" not in text
    assert "Do scorers agree?" in text


def test_the_random_coder_stands_beside_the_floor(found: Results) -> None:
    one = found.coders["one"]
    random = replace(one, name="random", meta={**one.meta, "coder": {"format": "random", "k": 4}})
    text = " ".join(" ".join(Page(pages.index(replace(found, coders={"one": one, "random": random}))).texts).split())
    assert text.count("random directions 0.80") == 2, "two explainers"
    assert text.count("random directions 0.75") == 1


def test_names_from_outside_are_escaped(found: Results) -> None:
    coder = found.coders["one"]
    coder.meta["subject"]["model"] = "<i>\u202esubject"
    assert "<i>" not in pages.index(found)
    assert "&lt;i&gt;⟨U+202E⟩subject" in pages.index(found)
    coder.meta["subject"]["weights"] = "random"
    assert "subject with random weights" in pages.index(found)


def test_a_page_that_can_not_hold_all_latents_says_so(found: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MOST_LATENTS", 1)
    text = "".join(Page(pages.page(found, found.coders["one"], 1)).texts)
    assert "the first 1 are on this page" in text


def test_pages_are_the_same_every_time(found: Results, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pages.write(tmp_path / name, found, 3)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert list(tree(tmp_path / "a")) == [
        "index.html",
        "matches.parquet",
        "one.html",
        "similar-latents.html",
        "two.html",
    ]
    assert str(tmp_path) not in (tmp_path / "a" / "one.html").read_text()


def test_the_page_of_similar_latents_shows_pairs_lists_and_scores(found: Results) -> None:
    page = Page(pages.similar_latents(found))
    text = " ".join(" ".join(page.texts).split()).replace("\N{EN DASH}", "-")
    assert "matched one to one by the directions they write" in text
    numbers = "0.51 0.39 to 0.64 0.25 0.25 0.70 0.04 0.25 0.25 0.25 0.25 2 2"
    assert f"one - two same place, 1 layer apart pattern {numbers}" in text
    assert "llm - too few latents are matched - - - - - - - - 2 2" in text
    assert "1 through 2 layers: matched from layer to layer at a cosine of at least 0.7" in text
    assert "one 7 two 2 0.20 dogs" in text
    hostile = '</script><img src=x onerror=alert(1)> "quoted"'
    assert f"0.90 0.10 one 2 {hostile}" in text
    assert "detection 0.80 embedding 0.60 two 3 dogs" in text
    assert "script" not in {tag for tag, _ in page.elements}
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert "one.html#latent-2" in links
    assert "two.html#latent-3" not in links, "that latent was not sampled, so it has no page"
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029\x1b]", pages.similar_latents(found))


def test_the_matches_hold_the_scores_of_both_explanations(found: Results) -> None:
    table = relations.scored_matches(found)
    rows = table.select(["latent_a", "detection_a", "detection_b", "embedding_a", "embedding_b"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [(2, 0.8, None, 0.6, None), (7, None, 0.9, None, 0.6)]


def test_a_single_coder_has_nothing_in_common(found: Results) -> None:
    alone = replace(found, pairs=[], lists={})
    assert "There is a single coder: nothing to compare." in pages.similar_latents(alone)
