from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.publish import embedded
from stages.publish.embedded import embed, page_data
from stages.publish.results import Results

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.text(alphabet="<>&\u2028\u2029\"'\\/script"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_embedded_json_reads_back_and_holds_no_markup(value: Any) -> None:
    text = embed(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_a_page_by_hand(found: Results) -> None:
    data = page_data(found.coders["one"], found.tokens, 1)
    assert data["explainers"] == ["pattern", "llm"]
    assert data["scorers"] == [
        ["detection", "balanced accuracy", "floor", "natural F1", True],
        ["embedding", "AUROC", "floor", "natural AUPRC", True],
    ]
    assert data["of_latents"] == [["intruder", "accuracy", "chance", "natural F1", True]]
    first, second = data["latents"]
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
            {"text": "the word cat", "scores": [[0.8, 0.7, 0.9, 0.5, 1, 0.08], [0.6, 0.5, 0.7, 0.5, 1, 0.06]]},
            {
                "text": "</script><img src=x onerror=alert(1)> \"quoted\" & 'so' ⟨U+202E⟩over⟨U+202C⟩ ⟨U+001B⟩[31mred",
                "scores": [[0.8, 0.7, 0.9, 0.5, 1, 0.08], [0.6, 0.5, 0.7, 0.5, 1, 0.06]],
            },
        ],
        "scores": [[0.75, 0.5, 1.0, 0.2, 0, None]],
        "windows": [["train", 1, 8.0, "first", [[" cat", 8.0], "</script> a a"]]],
    }
    assert second["explanations"] == [{"reason": "no rule fits"}, {"text": "dogs", "scores": ["no verdict", None]}]
    assert second["scores"] == ["no decile has 4"]


def test_a_special_token_is_set_apart(found: Results) -> None:
    windows = page_data(found.coders["one"], found.tokens, 3)["latents"][0]["windows"]
    assert windows[1][4] == [" a", ["↵", 7.0], ["⟨U+202E⟩", 0.5], ["<end>"]]


def test_a_page_holds_a_bounded_number_of_latents(found: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MOST_LATENTS", 1)
    assert [latent["id"] for latent in page_data(found.coders["one"], found.tokens, 1)["latents"]] == [2]
