from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest

from stages import params, paths
from stages.errors import GlossaError
from stages.serve import answer
from stages.serve.answer import Known, check_wanted
from stages.serve.reading import Reading
from stages.serve.text import Row

NOTHING = Known({}, {})


def reading(*events: tuple[int, int, float], length: int = 4) -> Reading:
    """From (place, latent, value)."""
    places, latents, values = zip(*events, strict=True) if events else ((), (), ())
    row = Row(np.arange(length), np.arange(length) > 0, [f"t{place}" for place in range(length)], 2)
    return Reading(row, np.array(places, np.int64), np.array(latents, np.int64), np.array(values, np.float32))


def test_by_hand() -> None:
    known = Known({7: 8.0}, {"pattern": {7: "a\nword\u202e"}, "llm": {}})
    found = answer.answer("one", reading((1, 7, 2.0), (1, 3, 0.5), (2, 7, 4.0), (3, 9, -6.0)), known)
    assert found == {
        "coder": "one",
        "tokens": ["t0", "t1", "t2", "t3"],
        "special": [0],
        "left_out": 2,
        "firing": 3,
        "latents": [
            {
                "latent": 9,
                "strength": 6.0,
                "where": [3],
                "values": [-6.0],
                "largest": None,
                "explanations": {},
                "page": None,
            },
            {
                "latent": 7,
                "strength": 4.0,
                "where": [1, 2],
                "values": [2.0, 4.0],
                "largest": 8.0,
                "explanations": {"pattern": "a word⟨U+202E⟩"},
                "page": "latent.html#one/7",
            },
            {
                "latent": 3,
                "strength": 0.5,
                "where": [1],
                "values": [0.5],
                "largest": None,
                "explanations": {},
                "page": None,
            },
        ],
    }


def test_those_that_are_wanted_are_told_of_and_no_other() -> None:
    found = answer.answer("one", reading((1, 7, 2.0), (1, 3, 0.5)), NOTHING, [5, 3, 5])
    assert [(one["latent"], one["strength"], one["where"]) for one in found["latents"]] == [(3, 0.5, [1]), (5, 0.0, [])]
    assert found["firing"] == 2


def test_of_many_the_strongest_of_the_text_and_of_every_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "STRONGEST", 2)
    monkeypatch.setattr(answer, "OF_TOKEN", 1)
    events = [(1, 0, 9.0), (1, 1, 8.0), (1, 2, 7.0), (2, 2, 0.5), (2, 3, 0.25), (3, 4, 0.125)]
    found = answer.answer("one", reading(*events), NOTHING)
    assert [one["latent"] for one in found["latents"]] == [0, 1, 2, 4]
    assert found["firing"] == 5


def test_of_silence_there_is_nothing_to_tell() -> None:
    found = answer.answer("one", reading(), NOTHING)
    assert (found["latents"], found["firing"]) == ([], 0)


def test_what_the_run_knows_and_does_not_know(at_finished: Path) -> None:
    known = Known.of(params.load(), "one")
    assert len(known.largest) > 5
    assert known.said == {}, "explain has not run"
    assert all(value > 0 for value in known.largest.values())


def test_without_data_nothing_is_known(tmp_path: Path, at_finished: Path) -> None:
    p = params.load()
    with chdir(tmp_path):
        assert not paths.examples("one").exists()
        assert Known.of(p, "one") == NOTHING


def test_latents_that_do_not_exist_or_are_too_many() -> None:
    with pytest.raises(GlossaError, match=r"^the coder one has latents 0 to 23, but no 24$"):
        check_wanted([1, 24], 24, "one")
    with pytest.raises(GlossaError, match="at most 50 latents can be tested at once, found 51"):
        check_wanted(list(range(51)), 100, "one")
