from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stages.coders.writes import Write, shape_of
from stages.errors import GlossaError


@pytest.fixture
def tensor(tmp_path: Path) -> torch.Tensor:
    found = torch.arange(3 * 4 * 2).view(3, 4, 2).float()
    save_file(
        {"W": found.to(torch.bfloat16), "of latents": found.transpose(0, 1).contiguous()}, tmp_path / "w.safetensors"
    )
    return found


def test_both_layouts_give_the_same(tmp_path: Path, tensor: torch.Tensor) -> None:
    units = torch.tensor([1.0, 2.0, 4.0, 8.0])
    for name, axis in (("W", 0), ("of latents", 1)):
        write = Write("layers.2", tmp_path / "w.safetensors", name, 2, axis, scale=0.5, units=units)  # type: ignore[arg-type]
        assert torch.equal(write.matrix(), tensor[2] / 2 / units[:, None])
        assert torch.equal(write.rows([3, 0]), write.matrix()[[3, 0]])
        assert write.matrix().dtype == torch.float32
    assert shape_of(tmp_path / "w.safetensors", "W") == (3, 4, 2)
    assert shape_of(tmp_path / "w.safetensors", "V") is None
    assert shape_of(tmp_path / "v.safetensors", "W") is None


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, tensor: torch.Tensor) -> None:
    file = tmp_path / "w.safetensors"
    for name, index in (("V", 0), ("W", 7)):
        with pytest.raises(
            GlossaError, match=r"expected what latents write to layers.2 in .*w.safetensors, but it can't be read"
        ):
            Write("layers.2", file, name, index, 0).matrix()
    save_file({"W": tensor / 0}, file)
    with pytest.raises(GlossaError, match=r"expected finite weights in .*w.safetensors, but W holds NaN or infinity"):
        Write("layers.2", file, "W", 0, 0).rows([1])
