"""What latents promote, and that it is worked out again whenever anything changed that decides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stages import coders
from stages.coders.sparse_coder import SparseCoder
from stages.coders.writes import Write
from stages.corpus.tokens import Tokens
from stages.latents import output as room
from stages.latents.output import output
from stages.subject import lazy
from stages.subject.load import Subject
from stages.subject.unembedding import promoted


@pytest.fixture
def coder(coder_folder: Path) -> SparseCoder:
    return replace(coders.load(str(coder_folder)), hookpoint="layers.0")


@pytest.fixture
def tokens(at_finished: Path) -> Tokens:
    return Tokens.open()


def is_known(coder: SparseCoder, subject: Subject, tokens: Tokens) -> bool:
    with mock.patch.object(room, "_work_out", return_value={}) as work:
        output(coder, subject, tokens)
    return not work.called


def test_it_is_worked_out_once_and_comes_back_as_it_was(coder: SparseCoder, subject: Subject, tokens: Tokens) -> None:
    assert coder.W_dec is not None
    lens = promoted(subject, coder.W_dec, torch.from_numpy(tokens.vocabulary.special))
    assert lens is not None
    expected = {name: part.numpy() for name, part in lens._asdict().items()}
    for known in (False, True):
        if known:
            assert is_known(coder, subject, tokens)
        found = output(coder, subject, tokens)
        assert list(found) == list(expected)
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_nothing_is_promoted_where_it_is_undefined(coder: SparseCoder, subject: Subject, tokens: Tokens) -> None:
    assert output(replace(coder, W_dec=None), subject, tokens) == {}
    elsewhere = replace(coder, reconstructs="blocks.7.hook_elsewhere")
    assert output(elsewhere, subject, tokens) == {}
    assert is_known(elsewhere, subject, tokens), "that there is none is kept, too"


def several(coder: SparseCoder, folder: Path, *places: str) -> tuple[SparseCoder, torch.Tensor]:
    """A coder that writes to several places, and what it writes there, [places, latents, width]."""
    assert coder.W_dec is not None
    written = torch.randn(len(places), *coder.W_dec.shape, generator=torch.Generator().manual_seed(0))
    save_file({"W": written}, folder / "w.safetensors")
    writes = tuple(Write(place, folder / "w.safetensors", "W", at, axis=0) for at, place in enumerate(places))
    return replace(coder, W_dec=None, writes=writes, identity={"sha256": str(places)}), written


@pytest.mark.parametrize(
    ("places", "adds"), [(("layers.0.mlp", "layers.1.mlp"), True), (("layers.0", "layers.1"), False)]
)
def test_of_several_places_each_is_worked_out_and_all_together(
    coder: SparseCoder, subject: Subject, tokens: Tokens, tmp_path: Path, places: tuple[str, str], adds: bool
) -> None:
    own, written = several(coder, tmp_path, *places)
    special = torch.from_numpy(tokens.vocabulary.special)
    found = output(own, subject, tokens)
    whole = promoted(subject, written.sum(0) if adds else written[1], special)
    assert whole is not None
    for name, part in whole._asdict().items():
        np.testing.assert_allclose(found[name], part.numpy(), rtol=1e-5)
    for at in (0, 1):
        lens = promoted(subject, written[at], special, n=5)
        assert lens is not None
        np.testing.assert_array_equal(found["place_tokens"][:, at], lens.top_tokens.numpy())
        np.testing.assert_allclose(found["place_values"][:, at], lens.top_values.numpy(), rtol=1e-5)
        np.testing.assert_allclose(found["place_norms"][:, at], written[at].norm(dim=1).numpy(), rtol=1e-5)
    assert is_known(own, subject, tokens)
    assert not is_known(several(coder, tmp_path, *reversed(places))[0], subject, tokens)
    elsewhere, _ = several(coder, tmp_path, places[0], "blocks.7.hook_mlp_out")
    assert output(elsewhere, subject, tokens) == {}


def other_decoder(coder: SparseCoder) -> SparseCoder:
    assert coder.W_dec is not None
    weight = coder.W_dec.clone()
    weight[3, 5] += 1e-6
    return replace(coder, W_dec=weight)


@pytest.mark.parametrize(
    "change",
    [
        other_decoder,
        lambda coder: replace(coder, W_dec=coder.W_dec.bfloat16()),
        lambda coder: replace(coder, W_dec=coder.W_dec.reshape(12, -1)),
        lambda coder: replace(coder, hookpoint="layers.1"),
        lambda coder: replace(coder, reconstructs="layers.1"),
        lambda coder: replace(coder, W_enc=None),
    ],
)
def test_another_coder_is_worked_out_anew(
    coder: SparseCoder, subject: Subject, tokens: Tokens, change: Callable[[SparseCoder], SparseCoder]
) -> None:
    output(coder, subject, tokens)
    assert not is_known(change(coder), subject, tokens)
    assert is_known(replace(coder, source="elsewhere", b_enc=coder.b_enc + 1), subject, tokens)


def test_another_subject_other_special_tokens_code_or_packages_too(
    coder: SparseCoder, subject: Subject, tokens: Tokens
) -> None:
    output(coder, subject, tokens)
    other = Subject(subject.model, subject.name, {"sha256": "other"}, subject.device)
    assert not is_known(coder, other, tokens)
    for place, name, value in (
        (room, "special_sha256", lambda tokens: "other"),
        (room, "STARTS", ("stages.errors",)),
        (lazy, "versions", dict),
    ):
        with mock.patch.object(place, name, value):
            assert not is_known(coder, subject, tokens)
    assert is_known(coder, subject, tokens)
