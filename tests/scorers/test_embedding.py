from typing import ClassVar

import numpy as np
import pytest

from stages import scorers
from stages.scorers import Item
from stages.scorers.table import OWN, SHUFFLED
from stages.similarity import embedder
from tests.scorers import planted


class Words:
    """Embeds a text as the counts of two words, at unit norm."""

    identity: ClassVar[dict[str, str]] = {"name": "words"}

    def encode(self, texts: list[str]) -> np.ndarray:
        counts = np.array([[text.count("cat"), text.count("dog"), 0.1] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_windows_near_the_explanation_rank_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "load", lambda name, device: Words())
    scorer = scorers.load("x", {"kind": "embedding"})
    examples = planted.latent(7, fires_on=1)
    examples.negative.tokens[:] = 2
    items = [Item(examples, "about a cat", OWN), Item(examples, "about a dog", SHUFFLED)]
    found = scorer.score(items, planted.vocabulary(), 0)
    assert found.metric == "auroc"
    assert found.facts == {"embedder": Words.identity}
    assert found.scores["score"].to_pylist() == [1.0, 0.0]
    assert found.scores["n"].to_pylist() == [40, 40]
    own = found.verdicts.to_pylist()[0]
    assert own["value"] == pytest.approx(1.0, abs=1e-6)
