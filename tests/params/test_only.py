from __future__ import annotations

from pathlib import Path

import pytest

from stages import params


@pytest.fixture
def p(at_finished: Path) -> params.Params:
    return params.load()


def test_a_stage_is_given_what_it_says_it_reads(p: params.Params) -> None:
    found = params.only(p, "seed", "subject.model", "sampling")
    assert (found.seed, found.subject.model, found.sampling) == (p.seed, p.subject.model, p.sampling)
    for asked in (lambda: found.corpus, lambda: found.subject.dtype, lambda: found.compare):
        with pytest.raises(AttributeError):
            asked()


def test_nothing_is_asked_of_it_that_was_not_said(p: params.Params) -> None:
    assert params.only(p, "seed", "seed").seed == p.seed
    with pytest.raises(AttributeError):
        params.only(p, "absent")
