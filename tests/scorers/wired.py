"""A subject whose latents are wired to output tokens by hand, and a judge that counts words.

Every block of the subject does nothing, so its residual stream is the embedding of a token. Latent i fires on the token
``FIRES[i]``, and its decoder direction is what the unembedding of ``WRITES[i]`` reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stages import params
from stages.coders.activations import Relu
from stages.coders.sparse_coder import SparseCoder
from stages.examples import origin
from stages.examples.origin import Origin
from stages.llm.providers.local import Row
from stages.scorers import Context
from stages.subject.load import Subject
from tests.scorers import planted

FIRES, WRITES = (1, 2), (3, 4)
WIDTH = 16


def subject() -> Subject:
    from transformers import LlamaConfig, LlamaForCausalLM

    n = len(planted.WORDS)
    config = LlamaConfig(
        vocab_size=n,
        hidden_size=WIDTH,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        tie_word_embeddings=False,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(requires_grad=False)
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    model.model.embed_tokens.weight.copy_(torch.eye(n, WIDTH))
    model.lm_head.weight.copy_(3 * torch.roll(torch.eye(n, WIDTH), n, 1))
    return Subject(model, "wired", {"sha256": "s"}, torch.device("cpu"))


def coder(**more: object) -> SparseCoder:
    directions = torch.eye(WIDTH)
    values: dict[str, object] = {
        "W_enc": directions[list(FIRES)],
        "b_enc": torch.full((2,), -0.5),
        "W_dec": directions[[len(planted.WORDS) + token for token in WRITES]],
        "b_dec": torch.zeros(WIDTH),
        "b_pre": torch.zeros(WIDTH),
        "activation": Relu(),
        "source": "here",
        "identity": {"format": "test", "sha256": "c"},
        "hookpoint": "layers.0",
    }
    return SparseCoder(**{**values, **more})  # type: ignore[arg-type]


def context(
    monkeypatch: pytest.MonkeyPatch,
    own: SparseCoder | None = None,
    seed: int = 0,
    skipped: int = 0,
    read: Subject | None = None,
) -> Context:
    """A context in which the examples of ``planted`` come from this subject."""
    found = Origin(read or subject(), own or coder(), [], skipped)
    monkeypatch.setattr(origin, "load", lambda p, name: found)
    p = params.Params.model_construct(corpus=params.LocalText(source="text", path="x", context_length=32, tokens=32))
    return Context(planted.vocabulary(), seed, "one", p)


class Counting:
    """Stands for ``Local``: a word is the likelier the more often it stands before."""

    limit: int | None = None
    name = "counting"

    def __init__(self) -> None:
        self.words: dict[str, int] = {}

    def encode(self, text: str) -> list[int]:
        return [self.words.setdefault(word, len(self.words)) for word in re.findall(r"\w+|[^\w\s]", text)]

    head = encode

    def after(self, before: str, text: str) -> list[int]:
        return self.encode(text)

    def read_behind(self, head: list[int], rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        assert all(row.ids[: len(head)] == head for row in rows)
        return [np.array([self._likely(row.ids[:place], token) for place, token in row.wanted]) for row in rows]

    def _likely(self, before: list[int], token: int) -> float:
        return float(np.log((before.count(token) + 0.1) / (len(before) + 1)))


class Judge:
    """Stands for a model with the provider ``transformers``."""

    endpoint = "transformers:counting"

    def __init__(self) -> None:
        self.counting = Counting()

    def local(self) -> Counting:
        return self.counting
