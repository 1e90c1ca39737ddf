"""The hash of what people are shown: it changes with what they see, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages.examples.table import LatentExamples
from stages.explainers import seen
from tests.rating.answered import furnish_rated, latent


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish_rated(tmp_path)


def changed(**parts: np.ndarray) -> LatentExamples:
    found = latent(2)
    return replace(found, train=replace(found.train, **parts))


def test_what_is_not_seen_is_not_in_it() -> None:
    train = latent(2).train
    due = seen.sha256(latent(2), 20)
    rounded = train.activations * np.float32(1 + 1e-6) + np.where(
        train.activations == 1, np.float32(0.4), np.float32(0)
    )
    assert (rounded != train.activations).any()
    assert seen.sha256(changed(activations=rounded), 20) == due
    backwards = {name: getattr(train, name)[::-1] for name in ("tokens", "activations", "starts", "deciles")}
    assert seen.sha256(changed(**backwards), 20) == due
    assert seen.sha256(replace(latent(2), test=latent(2).train), 3) == due
    assert seen.sha256(latent(7), 20) == due  # the same windows


def test_what_is_seen_is() -> None:
    train = latent(2).train
    due = seen.sha256(latent(2), 20)
    assert seen.sha256(latent(2), 2) != due
    other, weaker = train.tokens.copy(), train.activations.copy()
    other[1, 0] += 1
    weaker[0, 0] = 7.9  # 9 tenths
    assert seen.sha256(changed(tokens=other), 20) != due
    assert seen.sha256(changed(activations=weaker), 20) != due
    moved = train.activations.copy()
    moved[2] = moved[2][::-1]
    assert seen.sha256(changed(activations=moved), 20) != due
