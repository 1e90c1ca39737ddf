from __future__ import annotations

from pathlib import Path

from tests.site.reading import load


def test_how_explanations_were_made(report: Path) -> None:
    shard = load(report / "data", "one/made/llm/0")
    first = shard["latents"]["2"]
    assert first["evidence"] == {"__proto__": ["</script>", 0.5, None], "analysis": "a\nb⟨U+0000⟩"}
    (request,) = (shard["requests"][place] for place in first["requests"])
    assert request["messages"][-1]["content"] == "explain 2"
    assert request["answer"] == "dogs"
    assert shard["latents"]["7"] == {"evidence": {}, "requests": []}


def test_an_explainer_without_a_language_model_has_evidence_alone(report: Path) -> None:
    shard = load(report / "data", "one/made/pattern/0")
    assert shard == {
        "latents": {"2": {"evidence": {}, "requests": []}, "7": {"evidence": {}, "requests": []}},
        "requests": [],
        "common": [],
    }
