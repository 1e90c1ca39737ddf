from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stages import coders
from stages.coders.sparse_coder import SparseCoder
from stages.similarity import space
from stages.similarity.lru import Lru
from stages.similarity.space import Directions, directions, layer, needs_subject, why_not


@pytest.fixture
def coder(coder_folder: Path) -> SparseCoder:
    return replace(coders.load(str(coder_folder)), hookpoint="layers.0")


@pytest.mark.parametrize(
    ("hookpoint", "needed"),
    [
        ("layers.3", False),
        ("layers.3.input", False),
        ("model.layers.3", False),
        ("transformer.h.11.output", False),
        ("layers.3.mlp", True),
        ("blocks.3.hook_resid_post", True),
        ("layers.3.mlp.down_proj.input", True),
        ("embed_tokens", True),
    ],
)
def test_the_subject_is_only_asked_where_the_name_does_not_say_it(
    coder: SparseCoder, hookpoint: str, needed: bool
) -> None:
    assert needs_subject(replace(coder, hookpoint=hookpoint)) is needed
    assert needs_subject(replace(coder, hookpoint="layers.0", reconstructs=hookpoint)) is needed


@pytest.mark.parametrize(
    ("hookpoint", "expected"),
    [("layers.3", 3), ("h.11.mlp", 11), ("blocks.7.hook_resid_pre", 7), ("model.layers.0.input", 0), ("wte", None)],
)
def test_the_layer_of_a_hookpoint(hookpoint: str, expected: int | None) -> None:
    assert layer(hookpoint) == expected


def test_directions_are_of_unit_norm_and_lie_in_the_residual_stream(coder: SparseCoder, subject: Any) -> None:
    found = directions(coder, None)
    assert (found.writes, found.reads) == (space.RESIDUAL, space.RESIDUAL)
    for vectors, weights in ((found.decoder, coder.W_dec), (found.encoder, coder.W_enc)):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(24))
        torch.testing.assert_close(vectors * weights.norm(dim=1, keepdim=True), weights)
    looked_up = directions(replace(coder, hookpoint="blocks.0.hook_resid_post"), subject)
    torch.testing.assert_close(looked_up.decoder, found.decoder)
    assert (looked_up.writes, looked_up.reads) == (space.RESIDUAL, space.RESIDUAL)
    assert directions(replace(coder, hookpoint="layers.0.mlp"), subject).writes == space.RESIDUAL


def test_what_a_projection_reads_is_a_space_of_its_own(coder: SparseCoder, subject: Any) -> None:
    heads = directions(replace(coder, hookpoint="layers.0.self_attn.o_proj.input"), subject)
    assert heads.writes == heads.reads == "layers.0.self_attn.o_proj.input"
    others = directions(replace(coder, hookpoint="layers.1.self_attn.o_proj.input"), subject)
    residual = directions(coder, None)
    assert why_not(heads, heads, "decoder") is None
    assert why_not(heads, residual, "encoder") == (
        "the coders read different spaces, layers.0.self_attn.o_proj.input and the residual stream"
    )
    assert why_not(heads, others, "decoder").startswith("the coders write to different spaces, ")


def test_coders_without_a_decoder_or_an_encoder(coder: SparseCoder, subject: Any) -> None:
    bare = directions(replace(coder, W_dec=None, W_enc=None), None)
    assert (bare.decoder, bare.encoder) == (None, None)
    whole = directions(coder, None)
    assert why_not(whole, bare, "decoder") == "the second coder has no decoder directions: it has no decoder"
    assert why_not(bare, whole, "encoder") == "the first coder has no encoder directions: it has no encoder"
    lost = directions(replace(coder, reconstructs="nowhere.in.particular"), subject)
    assert lost.decoder is None
    assert (
        lost.writes == "its files name nowhere.in.particular as what it reconstructs, which the subject does not have"
    )


def test_other_widths(coder: SparseCoder) -> None:
    narrow = directions(coder, None)
    wide = narrow._replace(decoder=torch.ones(3, 20))
    assert why_not(narrow, wide, "decoder") == "the coders write to spaces of different widths, 16 and 20"
    assert why_not(narrow, wide, "encoder") is None


def test_a_shelf_keeps_what_fits_and_always_a_pair() -> None:
    made = []

    def make(name: str) -> str:
        made.append(name)
        return name * 10

    shelf = Lru(make, len, room=30)
    assert [shelf[name] for name in "abcabc"] == [name * 10 for name in "abcabc"]
    assert made == ["a", "b", "c"]
    shelf["d"]  # a was asked for longest ago
    assert [shelf["b"], shelf["a"]] == ["b" * 10, "a" * 10]
    assert made == ["a", "b", "c", "d", "a"]
    small = Lru(make, len, room=0)
    made.clear()
    for name in "abab":
        small[name]
    assert made == ["a", "b"]


def test_the_size_of_directions() -> None:
    assert space.size(Directions(torch.ones(3, 5), None, "", "")) == 60
