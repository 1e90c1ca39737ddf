from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stages.results.reading import Results
from stages.site.latents import PER_DECILE, _places, chosen
from stages.site.spelling import Spelling
from stages.site.windows import Windows
from tests.site.reading import load


def test_a_shard_by_hand(report: Path) -> None:
    data = load(report / "data", "one/latents/0")
    first, second = data["latents"]
    windows = [
        [role, decile, maximum, document, start, [data["strings"][place] for place in places], values]
        for role, decile, maximum, document, start, places, values in first.pop("windows")
    ]
    assert windows == [
        ["train", 1, 8.0, "first", 0, [" cat", "</script>", " a", " a"], [0, 8.0]],
        ["test", 1, 7.0, "first", 4, [" a", "↵", "⟨U+202E⟩", ["<end>"]], [1, 7.0, 2, 0.5]],
        ["train", 2, 5.0, "first", 12, [" a", "é", "", " a"], [1, 1.0, 2, 5.0]],
        ["test", 2, 4.0, "second <b>", 16, [" dog", " a", " a", "⟨U+001B⟩[2J"], [3, 4.0]],
        ["train", 3, 2.0, "second <b>", 20, [" a", " a", " a", " cat"], [3, 2.0]],
        ["test", 3, 0.25, "second <b>", 36, [" a", " a", " a", " a"], [0, 0.25]],
    ], "the three strongest, then those of every decile"
    hostile = "</script><img src=x onerror=alert(1)> \"quoted\" & 'so' ⟨U+202E⟩over⟨U+202C⟩ ⟨U+001B⟩[31mred"
    both = {"detection": [0.8, 0.7, 0.9, 0.5, 1, 0.08], "embedding": [0.6, 0.5, 0.7, 0.5, 1, 0.06]}
    assert first == {
        "id": 2,
        "count": 12,
        "density": 0.188,
        "max": 8.0,
        "mean": 2.5,
        "fires_in": 6,
        "histogram": [6, 4, 2],
        "promoted": [[" cat", 1.5], ["</script>", 1.25]],
        "suppressed": [["⟨U+001B⟩[2J", -1.0]],
        "explanations": [
            {"explainer": "pattern", "text": "the word cat", "scores": both},
            {"explainer": "llm", "text": hostile, "scores": both},
        ],
        "scores": {"intruder": [0.75, 0.5, 1.0, 0.2, 0, None]},
        "relatives": [
            {"coder": "two", "latent": 7, "direction": 0.9, "meaning": None, "text": None, "linked": True},
        ],
    }
    assert second["explanations"] == [
        {"explainer": "pattern", "reason": "no rule fits"},
        {"explainer": "llm", "text": "dogs", "scores": {"detection": "no verdict"}},
    ], "a scorer without an entry has not been asked about it"
    assert second["scores"] == {"intruder": "no decile has 4"}
    assert data["dropped"] == [[5, "never fires"]]


def test_what_is_written_to_several_places(here: Results) -> None:
    row = {"place_norms": [0.25, 2.0], "place_tokens": [[1], [2, 1]], "place_values": [[0.5], [1.5, 0.75]]}
    spelling = Spelling(here.tokens.vocabulary)
    names = [spelling.name(token) for token in (1, 2)]
    assert _places(row, spelling) == {"places": [[0.25, [[names[0], 0.5]]], [2.0, [[names[1], 1.5], [names[0], 0.75]]]]}
    assert _places({"place_tokens": None}, spelling) == _places({}, spelling) == {}


def made(latents: list[int], seed: int) -> Windows:
    generator = np.random.default_rng(seed)
    n = len(latents)
    starts = np.arange(n) * 4
    activations = generator.integers(1, 5, (n, 4)).astype(np.float32)  # with ties
    deciles = generator.integers(1, 4, n).astype(np.int8)
    return Windows(
        np.array(sorted(latents), np.int32), ["test"] * n, deciles, starts, np.zeros((n, 4), np.int32), activations
    )


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 9), st.integers(1, 8))
def test_the_strongest_come_first_and_some_of_every_decile_follow(
    latents: list[int], seed: int, strongest: int
) -> None:
    windows = made(latents, seed)
    order = chosen(windows, strongest).tolist()
    assert len(set(order)) == len(order)
    maxima = windows.activations.max(axis=1)
    for latent in set(latents):
        own = np.flatnonzero(windows.latents == latent)
        found = [place for place in order if windows.latents[place] == latent]
        top, rest = found[:strongest], found[strongest:]
        ranked = sorted(own.tolist(), key=lambda place: (-maxima[place], windows.starts[place]))
        assert top == ranked[:strongest]
        of_decile = [int(windows.deciles[place]) for place in rest]
        assert of_decile == sorted(of_decile)
        for decile in (1, 2, 3):
            left = [place for place in ranked[strongest:] if windows.deciles[place] == decile]
            assert [place for place in rest if windows.deciles[place] == decile][:1] == left[:1]
            assert of_decile.count(decile) == min(PER_DECILE, len(left))
    assert [int(windows.latents[place]) for place in order] == sorted(int(windows.latents[place]) for place in order)
