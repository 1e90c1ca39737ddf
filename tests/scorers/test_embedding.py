from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from stages import scorers
from stages.embeddings import embedder
from stages.scorers import Context, Item
from stages.scorers.shown import windows
from stages.scorers.table import OWN, SHUFFLED
from tests.scorers import planted


@dataclass(frozen=True)
class Words:
    """Embeds a text as the counts of two words, at unit norm; what it begins with counts as well."""

    prompts: dict[str, str] = field(default_factory=dict)
    prompt: str = ""

    @property
    def identity(self) -> dict[str, str]:
        return {"name": "words", "sha256": self.prompt.encode().hex()}

    def prompted(self, prompt: str) -> "Words":
        return replace(self, prompt=prompt)

    def encode(self, texts: list[str]) -> np.ndarray:
        whole = [self.prompt + text for text in texts]
        counts = np.array([[text.count("cat"), text.count("dog"), 0.1] for text in whole], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    def stream(self, texts: list[str]) -> Iterator[tuple[list[str], np.ndarray]]:
        yield texts, self.encode(texts)


def test_windows_near_the_explanation_rank_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "load", lambda name, device: Words())
    scorer = scorers.load("x", {"kind": "embedding"})
    examples = planted.latent(7, fires_on=1)
    examples.negative.tokens[:] = 2
    items = [Item(examples, "about a cat", OWN), Item(examples, "about a dog", SHUFFLED)]
    found = scorer.score(items, Context(planted.vocabulary(), 0))
    assert found.metric.name == "auroc"
    assert found.facts == {"embedder": {"name": "words", "sha256": "", "prompt": "", "query_prompt": ""}}
    assert found.scores["score"].to_pylist() == [1.0, 0.0]
    assert found.scores["n"].to_pylist() == [40, 40]
    own = found.verdicts.to_pylist()[0]
    assert own["value"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "query", "document"),
    [
        ({}, "cat query: ", "dog passage: "),
        ({"query": "Instruct: dog", "document": ""}, "Instruct: dog", ""),
    ],
)
def test_explanations_are_queries_and_windows_documents(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], query: str, document: str
) -> None:
    known = {"s2s_query": "", "query": "cat query: ", "passage": "dog passage: "}
    monkeypatch.setattr(embedder, "load", lambda name, device: Words(known))
    scorer = scorers.load("x", {"kind": "embedding", **options})
    examples = planted.latent(7, fires_on=1)
    found = scorer.score([Item(examples, "nothing", OWN)], Context(planted.vocabulary(), 0))
    assert found.facts["embedder"].items() >= {"prompt": document, "query_prompt": query}.items()
    shown = windows(Item(examples, "", OWN), planted.vocabulary())[0]
    expected = float(Words(prompt=query).encode(["nothing"])[0] @ Words(prompt=document).encode([shown.text])[0])
    of_window = {row["window"]: row["value"] for row in found.verdicts.to_pylist()}
    assert of_window[shown.window] == pytest.approx(expected, abs=1e-6)
