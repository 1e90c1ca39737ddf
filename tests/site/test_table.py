from __future__ import annotations

from pathlib import Path

import pytest

from stages.results.reading import Results
from stages.site import table
from stages.site.coder import Coder
from tests.site.reading import load


def test_the_columns_by_hand(report: Path) -> None:
    assert load(report / "data", "one/table/0") == {
        "latent": [2, 7],
        "density": [0.188, 0.188],
        "max": [8.0, 8.0],
        "explanations": {
            "pattern": ["the word cat", None],
            "llm": [
                "</script><img src=x onerror=alert(1)> \"quoted\" & 'so' ⟨U+202E⟩over⟨U+202C⟩ ⟨U+001B⟩[31mred",
                "dogs",
            ],
        },
        "scores": {
            "pattern/detection": [0.8, None],
            "pattern/embedding": [0.6, None],
            "llm/detection": [0.8, None],
            "llm/embedding": [0.6, None],
            "latent/intruder": [0.75, None],
        },
    }


def test_the_shards_of_a_table_are_whole_and_in_order(
    here: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "ROWS", 1)
    coder = Coder(here, "two", 3)
    coder.write_table(tmp_path)
    assert coder.manifest()["table"] == [2, 7]
    assert [load(tmp_path, f"two/table/{number}")["latent"] for number in (0, 1)] == [[2], [7]]
    assert len(list((tmp_path / "two" / "table").iterdir())) == 2
