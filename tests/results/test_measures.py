from __future__ import annotations

from stages import registry
from stages.results import measures
from stages.results.reading import Results
from stages.scorers.fuzzing import MISMARKED


def test_kinds_of_negatives_stand_as_in_the_registry_and_others_behind() -> None:
    assert measures.in_order(["zebra", "surface", MISMARKED, "random", "apple"]) == [
        "random", "surface", "apple", MISMARKED, "zebra",
    ]  # fmt: skip
    assert measures.in_order(reversed(registry.NEGATIVES)) == list(registry.NEGATIVES)
    assert measures.in_order([]) == []
    assert MISMARKED not in registry.NEGATIVES, "those are made, not found"


def test_the_table_has_a_column_for_every_kind_that_any_scorer_met(found: Results) -> None:
    scores = found.coders["one"].scores["llm"]["detection"]
    by_kind = scores.meta["overall"]["own"]["balanced_accuracy"]
    by_kind["negatives later"] = {"value": 0.25, "low": 0.2, "high": 0.3, "n_latents": 1}
    by_kind["negatives none"] = {"value": None, "low": None, "high": None, "n_latents": 0}
    shown = measures.tables(found)
    assert shown["kinds"] == ["random", "surface", "later"]
    kinds = {(row["coder"], row["explainer"], row["scorer"]): row["kinds"] for row in shown["rows"]}
    assert kinds["one", "llm", "detection"] == {"random": 0.8, "surface": 0.4, "later": 0.25}
    assert kinds["one", "pattern", "detection"] == {"random": 0.8, "surface": 0.4}
