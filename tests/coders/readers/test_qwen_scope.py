from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given

from stages import coders
from stages.coders.readers import Options, qwen_scope
from stages.errors import GlossaError
from tests.coders.readers import folders
from tests.coders.readers.by_hand import any_shape, assert_computes, inputs, relu, top, weights


@given(shape=any_shape)
def test_by_hand(shape: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        made = folders.qwen_scope(Path(folder), **shape)
        coder, w = qwen_scope.read(made.path, Options()), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    latents = relu(top(x @ w["W_enc"].T + w["b_enc"], 3))
    assert_computes(coder, x, latents, latents @ w["W_dec"].T + w["b_dec"])
    assert (coder.hookpoint, coder.published_l0, coder.identity["k"]) == ("layers.4", 3, 3)


def test_k_is_in_the_name_of_the_repository_or_has_to_be_said(tmp_path: Path) -> None:
    made = folders.qwen_scope(tmp_path, k=5)
    assert coders.load(str(made.path.parent)).published_l0 == 5  # of a folder with one layer
    assert coders.load(str(made.path), Options(k=5)).published_l0 == 5
    with pytest.raises(GlossaError, match=r"says that 5 latents fire, but params.yaml says k: 4; take k out"):
        coders.load(str(made.path), Options(k=4))
    elsewhere = made.path.rename(tmp_path / "layer4.sae.pt")
    with pytest.raises(GlossaError, match=r"don't say how many latents fire, .*; say k in its entry in params.yaml"):
        coders.load(str(elsewhere))
    assert coders.load(str(elsewhere), Options(k=4)).published_l0 == 4
    with pytest.raises(GlossaError, match="take activation out of its entry"):
        coders.load(str(elsewhere), Options(k=4, activation="topk"))


def test_of_many_layers_one_has_to_be_named(tmp_path: Path) -> None:
    made = folders.qwen_scope(tmp_path)
    for layer in (10, 2):
        (made.path.parent / f"layer{layer}.sae.pt").write_bytes(made.path.read_bytes())
    with pytest.raises(
        GlossaError, match=r"found 3 in .*; point at one of layer2.sae.pt, layer4.sae.pt, layer10.sae.pt$"
    ):
        coders.load(str(made.path.parent))
