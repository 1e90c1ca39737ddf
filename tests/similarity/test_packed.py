from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from stages import compare, params
from stages.corpus.tokens import Tokens
from stages.explainers.table import texts
from stages.similarity import embedded, outcome, reading
from stages.similarity.outcome import Outcome
from stages.similarity.packed import pack, unpack
from tests.similarity.planted import explain, setting, weights


def outcomes(kind: str, with_stores: bool = False) -> tuple[Outcome, Outcome]:
    """What the planted coders come to, and the same packed and unpacked."""
    p = params.only(params.load(), *compare.READS)
    said, tokens = reading.said(p, texts), Tokens.open()
    known = reading.coders(p, said, embedded.vectors(p, reading.every(said)), tokens)
    sources = reading.sources(p, tokens, torch.device("cpu"), with_stores)
    found = outcome.of(known["one"], known["two"], sources, kind, 0)
    content = pack(found)
    assert content == pack(found)
    again = unpack(content, known["one"], known["two"])
    return found, again


def check(found: Outcome, again: Outcome) -> None:
    assert again.splits.equals(found.splits)
    assert again.splits.schema.equals(found.splits.schema)
    for one, other in zip(found.compared, again.compared, strict=True):
        assert other.matches.schema.equals(one.matches.schema)
        assert other.matches.equals(one.matches)
        assert (other.facts, other.lists) == (one.facts, one.lists)
        assert (other.link is None) == (one.link is None)
        for before, after in zip(one.link or (), other.link or (), strict=True):
            if isinstance(before, np.ndarray):
                assert before.tobytes() == after.tobytes()
            else:
                assert before.method == after.method
                np.testing.assert_array_equal(before.latents_a, after.latents_a)
                np.testing.assert_array_equal(before.latents_b, after.latents_b)
    for near, after in zip(found.near or (), again.near or (), strict=True):
        for name, values in near._asdict().items():
            assert getattr(after, name).dtype == values.dtype
            assert getattr(after, name).tobytes() == values.tobytes()


@pytest.mark.parametrize("kind", ["decoder", "activations", "meaning"])
def test_what_was_packed_comes_back_to_the_last_bit(planted: Path, kind: str) -> None:
    one = load_file("coders/one/sae.safetensors")
    doubled = np.concatenate([one["W_dec"][:12], one["W_dec"][:12] + 0.01])  # so that there are splits
    weights("two", W_dec=doubled)
    found, again = outcomes(kind, with_stores=kind == "activations")
    assert len(found.splits)
    assert found.near is not None
    assert found.compared[0].lists
    check(found, again)


def test_so_does_nothing(planted: Path) -> None:
    explain("one", dict.fromkeys(range(24)))
    setting(match="meaning")
    found, again = outcomes("meaning")
    assert len(found.compared[0].matches) == 0
    assert found.compared[0].lists == {}
    check(found, again)
