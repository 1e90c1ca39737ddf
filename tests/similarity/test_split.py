import numpy as np
import pytest
import torch

from stages.similarity.blocks import Cosine, unit
from stages.similarity.match import nearest
from stages.similarity.split import splits
from tests.similarity.test_match import at, cosine, directions


def found(a: torch.Tensor, b: torch.Tensor, reverse: bool = False):
    a, b = unit(a), unit(b)
    return splits(nearest(Cosine([(a, b)])), *((b, a) if reverse else (a, b)), reverse)


def test_two_children_by_hand() -> None:
    (split,) = found(at(0, 180), at(20, -50, 90, 170))
    assert (split.latent, split.children) == (0, [0, 1])
    assert split.cosines == pytest.approx([cosine(20), cosine(50)], abs=1e-6)
    assert split.joint_cosine == pytest.approx(1), "two directions make up the plane"


def test_the_joint_cosine_is_that_of_the_best_combination() -> None:
    parent = torch.tensor([[1.0, 1.0, 1.0]])
    (split,) = found(torch.cat([parent, -parent]), torch.eye(3)[:2] + 0.01)
    a, b = (torch.eye(3)[:2] + 0.01).double()
    normal = torch.linalg.cross(a, b)
    outside = float(parent.double()[0] @ normal / (normal.norm() * 3**0.5))
    assert split.joint_cosine == pytest.approx((1 - outside**2) ** 0.5, abs=1e-6)


def test_latents_of_a_narrow_coder_that_a_wide_one_split() -> None:
    """Every third latent becomes two, one on either side of it; the wide coder's order means nothing."""
    narrow = unit(directions(0, 30, 64))
    aside = unit(directions(1, 30, 64))
    whole, split = [i for i in range(30) if i % 3], list(range(0, 30, 3))
    wide = torch.cat([narrow[whole], narrow[split] + aside[split] / 2, narrow[split] - aside[split] / 2])
    order = torch.randperm(len(wide), generator=torch.Generator().manual_seed(2))
    groups = found(narrow, wide[order])
    assert [group.latent for group in groups] == split
    for place, group in enumerate(groups):
        assert sorted(order[group.children].tolist()) == [20 + place, 30 + place]
        assert min(group.cosines) > 0.8
        assert group.joint_cosine == pytest.approx(1, abs=1e-4)
    assert found(narrow, wide[order], reverse=True) == [], "no latent of the wide coder is nearest to two narrow ones"


def test_merged_latents_are_split_ones_seen_from_the_other_side() -> None:
    narrow, wide = at(0, 90), at(-20, 20, 90)
    (merged,) = found(wide, narrow, reverse=True)
    assert merged == found(narrow, wide)[0]
    assert merged.children == [0, 1] or merged.children == [1, 0]


def test_far_latents_are_no_children() -> None:
    assert found(at(0), at(61, -61)) == []
    assert len(found(at(0), at(59, -59))) == 1


def test_another_seed_holds_hardly_a_split() -> None:
    assert len(found(directions(0, 200, 64), directions(1, 400, 64))) < 5
    assert np.isfinite([s.joint_cosine for s in found(directions(0, 200, 16), directions(1, 400, 16))]).all()
