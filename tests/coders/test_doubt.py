from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from stages.coders import random
from stages.coders.doubt import doubt
from stages.subject.load import Subject
from tests.coders.checked import NONE_SPECIAL, affine, at, fvu, identity, principal, written
from tests.conftest import WIDTH


def test_a_coder_that_fits_is_not_doubted(subject: Subject) -> None:
    assert doubt(subject, identity("layers.0"), written(subject), NONE_SPECIAL, 0) is None
    x = at(subject, "layers.0")
    poor = affine(principal(x, 1), x.mean(0), "layers.0")
    assert 0.5 < fvu(x, poor.reconstruct(x)) < 0.9
    assert doubt(subject, poor, written(subject), NONE_SPECIAL, 0) is None


@pytest.mark.parametrize("skipped", [0, 1])
def test_one_that_can_t_be_right_is(subject: Subject, skipped: int) -> None:
    wrong = replace(identity("layers.0"), W_dec=torch.zeros(2 * WIDTH, WIDTH))
    said = doubt(subject, wrong, written(subject), NONE_SPECIAL, skipped)
    x = at(subject, "layers.0").view(*written(subject).shape, -1)[:, skipped:].flatten(0, 1)
    assert said is not None
    assert said.startswith(
        f"it leaves {fvu(x, torch.zeros_like(x)):.2f} of the variance at layers.0 unexplained on the first {len(x)} tokens"
    )
    assert doubt(subject, wrong, written(subject)[:1, :9], NONE_SPECIAL, skipped) is None, "that is too little"


def test_nothing_is_said_of_what_can_t_be_measured(subject: Subject) -> None:
    ids = written(subject)
    wrong = replace(identity("layers.0"), W_dec=torch.zeros(2 * WIDTH, WIDTH))
    assert doubt(subject, replace(wrong, W_dec=None), ids, NONE_SPECIAL, 0) is None
    assert doubt(subject, replace(wrong, reconstructs="layers.9"), ids, NONE_SPECIAL, 0) is None
    assert doubt(subject, random.load(WIDTH, "layers.0", 64, 5, (0, 0)), ids, NONE_SPECIAL, 0) is None
    assert doubt(subject, wrong, ids, ~NONE_SPECIAL, 0) is None
