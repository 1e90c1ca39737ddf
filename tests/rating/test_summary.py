from __future__ import annotations

from pathlib import Path

from stages import params
from stages.rating import file, texts
from stages.rating.summary import OTHER_CODER, OTHER_TEXT, Summary, summary
from stages.rating.texts import Texts
from tests.rating.answered import HASHES, rating, write
from tests.results.furnished import HOSTILE

# Latent 3 has the same text from both.
SAID: Texts = {2: {"x": ["a"], "y": ["b"]}, 3: {"z": ["a", "b"]}}


def came_to(**files: list[dict]) -> Summary:
    rated = {name: file.read(write(Path(name), *rows), rated=True) for name, rows in files.items()}
    return summary(rated, HASHES, lambda coder: SAID if coder == "one" else {}, 0)


def test_explainers_are_found_by_what_they_said(place: Path) -> None:
    found = came_to(f=[rating(2, "x", 4), rating(2, "y", 1), rating(3, "z", 2)])
    assert {name: (one.mean.value, one.latents, one.ratings) for name, one in found.explainers.items()} == {
        "a": (3.0, 2, 2),
        "b": (1.5, 2, 2),
    }
    low, high = found.explainers["a"].mean.low, found.explainers["a"].mean.high
    assert (low, high) == (2, 4)
    assert found.agreement.n == 0
    assert not found.left_out


def test_of_a_latent_that_several_rated_the_mean_counts(place: Path) -> None:
    ada = [rating(2, "x", 1, by="ada"), rating(2, "x", 4, by="ada"), rating(3, "z", 1, by="ada")]
    bob = [rating(2, "x", 2)]
    found = came_to(first=ada, second=bob)
    assert (found.explainers["a"].mean.value, found.explainers["a"].latents, found.explainers["a"].ratings) == (
        2.0,
        2,
        3,
    )
    assert found.raters == ["ada", "second"]
    assert (found.agreement.n, found.agreement.same) == (1, 0.0)


def test_what_is_of_nothing_here_is_counted(place: Path) -> None:
    rows = [rating(2, "gone", 4), rating(2, "x", 4, coder="three"), rating(2, "x", 4, coder="two"), rating(2, "x", 3)]
    found = came_to(f=rows)
    assert found.left_out == {OTHER_CODER: 1, OTHER_TEXT: 2}
    assert found.explainers["a"].ratings == 1
    renamed = came_to(f=[rating(2, "x", 3, coder="before", coder_sha256=HASHES["one"])])
    assert renamed.explainers["a"].ratings == 1


def test_the_texts_of_a_coder_know_who_gave_them(place: Path) -> None:
    p = params.load()
    assert texts.of_coder(p, "one") == {2: {"the word cat": ["pattern"], HOSTILE: ["llm"]}, 7: {"dogs": ["llm"]}}
    assert texts.of_coder(p, "one", ["pattern"]) == {2: {"the word cat": ["pattern"]}}
