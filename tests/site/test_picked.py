from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stages import params
from stages.results import reading
from stages.results.reading import Explained, Results
from stages.site.picked import LATENTS, picked


@pytest.fixture
def found(furnished: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    monkeypatch.chdir(furnished)
    return reading.read(params.load())


def test_what_most_explainers_explained_comes_first(found: Results) -> None:
    for one in found.coders.values():
        shown = [pick for pick in picked(found, 0) if pick.coder == one.name]
        explained = {
            latent: [name for name, texts in one.explanations.items() if texts[latent].text is not None]
            for latent in next(iter(one.explanations.values()))
        }
        assert [[said.explainer for said in pick.said] for pick in shown] == [explained[pick.latent] for pick in shown]
        counts = [len(pick.said) for pick in shown]
        assert counts == sorted(counts, reverse=True)
        assert {pick.latent for pick in shown} == {latent for latent, names in explained.items() if names}


def test_the_two_strongest_windows_are_shaded_by_the_latent_s_maximum(found: Results) -> None:
    (pick,) = (pick for pick in picked(found, 0) if (pick.coder, pick.latent) == ("one", 2))
    shades = [[(piece.text, piece.value) for piece in window if piece.value] for window in pick.windows]
    assert shades == [[(" cat", 10)], [("↵", 9), ("⟨U+202E⟩", 1)]]


def test_scores_stand_with_the_explainer_that_they_are_of(found: Results) -> None:
    (pick,) = (pick for pick in picked(found, 0) if (pick.coder, pick.latent) == ("one", 2))
    for said in pick.said:
        own = found.coders["one"].scores[said.explainer]
        assert said.scores == [(name, own[name].own[2]) for name in own if 2 in own[name].own]
        assert said.scores


def test_many_coders_show_one_latent_each_and_no_more_than_fit(found: Results) -> None:
    one = found.coders["one"]
    many = replace(found, coders={f"c{number}": replace(one, name="one") for number in range(30)})
    assert 0 < len(picked(many, 0)) <= LATENTS


def test_nothing_explained_is_nothing_shown(found: Results) -> None:
    bare = {
        name: replace(one, explanations={"pattern": dict.fromkeys(one.explanations["pattern"], Explained(None, "no"))})
        for name, one in found.coders.items()
    }
    assert picked(replace(found, coders=bare), 0) == []
