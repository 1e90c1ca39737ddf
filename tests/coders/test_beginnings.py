"""Coders that were made for rows with BOS, or for rows without."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stages.coders import beginnings, random
from stages.coders.beginnings import Beginnings, Fit
from stages.coders.check import measure
from stages.subject.load import Subject
from tests import families
from tests.coders.checked import LENGTH, NONE_SPECIAL, ROWS, affine, at, fvu, principal

BOS = 0


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A subject in which a row's beginning is felt all along it."""
    return Subject(families.make("gpt2"), "gpt2", {}, torch.device("cpu"))


@pytest.fixture(scope="module")
def bare() -> Tensor:
    return torch.randint(1, families.WORDS, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))


def behind(bare: Tensor) -> Tensor:
    return torch.cat([torch.full_like(bare[:, :1], BOS), bare], 1)


def later(subject: Subject, ids: Tensor, first: int) -> Tensor:
    """What the hookpoint gives from column ``first`` on, [tokens, width]."""
    return at(subject, "h.0", ids).unflatten(0, ids.shape)[:, first:].flatten(0, 1)


@pytest.mark.parametrize("made_for_bos", [True, False])
def test_a_coder_fits_the_rows_that_it_was_made_for(subject: Subject, bare: Tensor, made_for_bos: bool) -> None:
    special = torch.arange(400) == BOS
    values = {True: later(subject, behind(bare), 2), False: later(subject, bare, 1)}
    mean = values[made_for_bos].mean(0)
    coder = affine(principal(values[made_for_bos], 4), mean, "h.0")
    expected = {row: fvu(values[row], coder.reconstruct(values[row])) for row in values}
    assert expected[made_for_bos] < 0.98 * expected[not made_for_bos]

    found = beginnings.compare(subject, coder, behind(bare), special, BOS, "<bos>")
    assert found is not None
    assert (found.bos, found.is_there) == ("<bos>", True)
    assert found.behind.fvu == pytest.approx(expected[True], rel=1e-4)
    assert found.without.fvu == pytest.approx(expected[False], rel=1e-4)
    assert found.own == found.behind
    assert found.better is not made_for_bos or found.other.recovered < found.own.recovered  # type: ignore[operator]

    # The same of rows that begin with none, but that a last token gives room to BOS.
    longer = torch.cat([bare, bare[:, :1]], 1)
    again = beginnings.compare(subject, coder, longer, special, BOS, "<bos>", skipped=1)
    assert again is not None
    assert not again.is_there
    assert again.behind == pytest.approx(found.behind)
    assert again.without == pytest.approx(found.without)
    assert again.own == again.without


def test_a_perfect_coder_fits_both(subject: Subject, bare: Tensor) -> None:
    coder = affine(torch.eye(16), torch.zeros(16), "h.0")
    found = beginnings.compare(subject, coder, behind(bare), torch.arange(400) == BOS, BOS, "<bos>")
    assert found is not None
    assert found.behind.fvu == pytest.approx(0, abs=1e-6)
    assert not found.better


def test_a_control_has_nothing_to_be_misread(subject: Subject, bare: Tensor) -> None:
    assert beginnings.compare(subject, random.load(16, "h.0", 10, 2, (0, 0)), bare, NONE_SPECIAL, BOS, "b") is None


@pytest.mark.parametrize(
    ("own", "other", "better"),
    [
        (Fit(0.2, 0.9), Fit(0.19, 0.9), True),
        (Fit(0.2, 0.9), Fit(0.19, None), True),
        (Fit(0.2, 0.9), Fit(0.19, 0.89), False),
        (Fit(0.2, 0.9), Fit(0.199, 0.95), False),
        (Fit(None, 0.9), Fit(0.1, 0.95), False),
        (Fit(0.2, 0.9), Fit(None, 0.95), False),
    ],
)
def test_what_is_better(own: Fit, other: Fit, better: bool) -> None:
    assert Beginnings("b", True, own, other).better is better
    assert Beginnings("b", False, other, own).better is better


@pytest.mark.parametrize(
    ("prepend_bos", "first", "bos", "end"),
    [
        (True, None, "<s>", "begin with no special token; set corpus.bos: <s> in params.yaml"),
        (True, None, None, "begin with no special token; name the token as corpus.bos in params.yaml"),
        (False, "<s>", "<s>", "begin with <s>; set corpus.bos: none in params.yaml"),
        (True, "<s>", "<s>", None),
        (False, None, "<s>", None),
        (None, None, "<s>", None),
    ],
)
def test_what_is_wrong_is_one_sentence(
    prepend_bos: bool | None, first: str | None, bos: str | None, end: str | None
) -> None:
    said = beginnings.said("here", prepend_bos, first, bos)
    assert said is None if end is None else said is not None and said.endswith(end)


def test_first_columns_that_are_no_text_count_nowhere(subject: Subject, bare: Tensor) -> None:
    coder = affine(principal(later(subject, bare, 1), 4), later(subject, bare, 1).mean(0), "h.0")
    found = measure(subject, coder, bare, NONE_SPECIAL, skipped=2)
    y = later(subject, bare, 2)
    assert (found.tokens, found.special, found.skipped) == (ROWS * (LENGTH - 2), 2 * ROWS, 2)
    assert found.fvu == pytest.approx(fvu(y, coder.reconstruct(y)), rel=1e-4)
    assert found.norms["inputs"].mean == pytest.approx(float(y.norm(dim=1).mean()), rel=1e-5)
