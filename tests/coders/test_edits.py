"""Edits against their definition: decode(a') + (h - decode(a))."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from stages.coders import neurons, random
from stages.coders.activations import Events, Relu, TopK
from stages.coders.edits import NO_DECODER, SEVERAL, Editor, editor
from stages.coders.sparse_coder import InputNorm, SparseCoder
from stages.coders.writes import Write
from stages.subject.load import Subject
from tests.conftest import WIDTH

LATENTS = 24


def coder(**more: Any) -> SparseCoder:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    values: dict[str, Any] = {
        "W_enc": draw(LATENTS, WIDTH),
        "b_enc": draw(LATENTS),
        "W_dec": draw(LATENTS, WIDTH),
        "b_dec": draw(WIDTH),
        "b_pre": draw(WIDTH),
        "activation": Relu(),
        "source": "here",
        "identity": {"format": "test", "sha256": "x"},
        "hookpoint": "layers.0",
    }
    return SparseCoder(**{**values, **more})


def made(subject: Subject, own: SparseCoder) -> Editor:
    found = editor(subject, own)
    assert isinstance(found, Editor)
    return found


def by_definition(own: SparseCoder, x: Tensor, h: Tensor, latent: int, change: str, strength: float = 0.0) -> Tensor:
    """For one token: x, h [1, width]."""
    a = own.encode(x)
    dense = torch.zeros(1, LATENTS)
    dense[0, a.latents] = a.values
    error = h - own.decode(a, x)
    if change == "add":
        dense[0, latent] += strength
    else:
        dense[0, latent] = 0
    places = torch.nonzero(dense[0]).squeeze(1)
    return own.decode(Events(torch.zeros_like(places), places, dense[0, places]), x) + error


@pytest.mark.parametrize("norm", get_args(InputNorm))
@pytest.mark.parametrize("activation", [Relu(), TopK(4), TopK(4, signed=True)])
def test_an_edit_is_what_its_definition_says(subject: Subject, norm: InputNorm, activation: Any) -> None:
    own = coder(input_norm=norm, activation=activation)
    generator = torch.Generator().manual_seed(2)
    h = torch.randn(5, 3, WIDTH, generator=generator) + 1
    latents = torch.tensor([int(own.encode(h[i]).latents[0]) for i in range(5)])  # they fire on some of these tokens
    strengths = torch.tensor([0.5, 30.0, 2.0, 1.0, 100.0])
    rows = torch.tensor([4, 0, 2])
    edits = made(subject, own)
    for change, edit in (("add", edits.add(latents, strengths)), ("ablate", edits.ablate(latents))):
        found = edit.change(rows, h[rows], h[rows])
        for i, row in enumerate(rows.tolist()):
            for token in range(3):
                one = h[row, token][None]
                expected = by_definition(own, one, one, int(latents[row]), change, float(strengths[row]))
                assert found[i, token].numpy() == pytest.approx(expected[0].numpy(), abs=2e-4, rel=1e-4)
        if change == "ablate":
            assert not torch.allclose(found, h[rows]), "some of the latents fire"


def test_what_does_not_fire_is_silenced_without_a_change(subject: Subject) -> None:
    own = coder(b_enc=torch.full((LATENTS,), -1e6))
    h = torch.randn(2, 1, WIDTH)
    assert torch.equal(made(subject, own).ablate(torch.tensor([3, 4])).change(torch.tensor([0, 1]), h, h), h)


def test_a_transcoder_changes_what_it_writes_by_what_it_reads(subject: Subject) -> None:
    own = coder(
        input_norm="layer_norm", reconstructs="layers.0.mlp", hookpoint="layers.0.mlp.input", W_skip=torch.eye(WIDTH)
    )
    edits = made(subject, own)
    assert (edits.reads, edits.places[0][0]) == ("layers.0.mlp.input", "layers.0.mlp")
    x, h = torch.randn(1, 1, WIDTH), torch.randn(1, 1, WIDTH)
    found = edits.add(torch.tensor([7]), torch.tensor([3.0])).change(torch.tensor([0]), x, h)
    expected = by_definition(own, x[0], h[0], 7, "add", 3.0)
    assert found[0].numpy() == pytest.approx(expected.numpy(), abs=1e-4)


def test_neurons_write_their_column_of_the_projection(subject: Subject) -> None:
    edits = made(subject, neurons.load(subject, "layers.1.mlp", 4))
    assert (edits.reads, edits.places[0][0]) == ("layers.1.mlp.down_proj.input", "layers.1.mlp.down_proj")
    projection: Any = subject.modules["layers.1.mlp.down_proj"]
    column = projection.weight[:, 5]
    x, h = torch.randn(1, 1, 2 * WIDTH), torch.zeros(1, 1, WIDTH)
    found = edits.add(torch.tensor([5]), torch.tensor([2.0])).change(torch.tensor([0]), x, h)
    assert found[0, 0].numpy() == pytest.approx(2 * column.detach().numpy(), abs=1e-6)


def test_a_random_coder_can_be_edited(subject: Subject) -> None:
    edits = made(subject, random.load(WIDTH, "layers.0", 32, 4, (0, 0)))
    h = torch.zeros(1, 1, WIDTH)
    found = edits.add(torch.tensor([5]), torch.tensor([2.0])).change(torch.tensor([0]), h, h)
    assert float(found.norm()) == pytest.approx(2)


def test_half_precision_stays_what_it_is(subject: Subject) -> None:
    own = coder()
    assert own.W_dec is not None
    edits = made(subject, own.to(torch.device("cpu"), torch.bfloat16))
    h = torch.randn(1, 1, WIDTH)
    found = edits.add(torch.tensor([5]), torch.tensor([2.0])).change(torch.tensor([0]), h, h)
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx((h + 2 * own.W_dec[5]).numpy(), abs=0.05)


def several(folder: Path, *places: str, **more: Any) -> tuple[SparseCoder, Tensor]:
    """A coder that writes to several places, and what it writes there, [places, latents, width]."""
    written = torch.randn(len(places), LATENTS, WIDTH, generator=torch.Generator().manual_seed(7))
    save_file({"W": written}, folder / "w.safetensors")
    writes = tuple(Write(place, folder / "w.safetensors", "W", at, axis=0) for at, place in enumerate(places))
    return coder(**{"W_dec": None, "hookpoint": "layers.0.mlp.input", "writes": writes, **more}), written


def test_a_layer_of_a_cross_layer_transcoder_changes_all_that_it_writes_to(subject: Subject, tmp_path: Path) -> None:
    own, written = several(tmp_path, "layers.0.mlp", "blocks.1.hook_mlp_out")
    edits = made(subject, own)
    x, h = torch.randn(2, 1, WIDTH), torch.randn(2, 1, WIDTH)
    latents = torch.tensor([5, int(own.encode(x[1]).latents[0])])
    fires = torch.stack(
        [
            own.encode(one).values[own.encode(one).latents == latent].sum()
            for one, latent in zip(x, latents, strict=True)
        ]
    )
    rows = torch.tensor([1, 0])
    for edit, amounts in (
        (edits.add(latents, torch.tensor([3.0, 9.0])), torch.tensor([3.0, 9.0])),
        (edits.ablate(latents), -fires),
    ):
        both = (edit, *edit.also)
        assert [(one.reads, one.writes) for one in both] == [("layers.0.mlp.input", f"layers.{n}.mlp") for n in (0, 1)]
        for at, one in enumerate(both):
            expected = h[rows] + (amounts[:, None] * written[at][latents])[rows][:, None]
            assert torch.allclose(one.change(rows, x[rows], h[rows]), expected, atol=1e-4)


def test_what_describes_one_stream_several_times_is_not_edited(subject: Subject, tmp_path: Path) -> None:
    stream, _ = several(tmp_path, "layers.0", "layers.1", hookpoint="layers.0")
    found = editor(subject, stream)
    assert isinstance(found, str)
    assert found.startswith(
        "its latents write to the residual stream at 2 places, each of which contains what was written before"
    )
    assert isinstance(
        editor(subject, several(tmp_path, "layers.0.mlp", "layers.1", hookpoint="layers.0.input")[0]), Editor
    )
    both, _ = several(tmp_path, "layers.0.mlp", "layers.1.mlp", hookpoint="layers.0.mlp + layers.1.mlp")
    wide = replace(both, W_enc=torch.randn(LATENTS, 2 * WIDTH), b_pre=torch.zeros(2 * WIDTH))
    assert editor(subject, wide) == SEVERAL


def test_what_cannot_be_edited_has_a_reason(subject: Subject) -> None:
    assert editor(subject, replace(coder(), W_dec=None)) == NO_DECODER
    reason = editor(subject, coder(hookpoint="layers.0.input_layernorm.normalized"))
    assert isinstance(reason, str)
    assert reason.startswith("no module gives or takes layers.0.input_layernorm.normalized")
    unknown = editor(subject, coder(reconstructs="blocks.9.hook_mlp_out"))
    assert isinstance(unknown, str)
    assert "has no hookpoint blocks.9.hook_mlp_out" in unknown
