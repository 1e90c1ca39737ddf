from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from stages.coders.readers import sparsify
from stages.errors import GlossaError


@pytest.fixture
def folder(coder_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(coder_folder, tmp_path / "coder"))


def edit_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "cfg.json").read_text())
    changed = {key: value for key, value in {**config, **values}.items() if value is not None}
    (folder / "cfg.json").write_text(json.dumps(changed))


def edit_weights(folder: Path, **values: torch.Tensor | None) -> None:
    weights: dict[str, Any] = {**load_file(folder / "sae.safetensors"), **values}
    save_file({name: value for name, value in weights.items() if value is not None}, folder / "sae.safetensors")


def mistake(folder: Path) -> str:
    with pytest.raises(GlossaError) as caught:
        sparsify.read(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_encoding_by_hand(folder: Path) -> None:
    weights = {name: value.numpy().astype(np.float64) for name, value in load_file(folder / "sae.safetensors").items()}
    edit_config(folder, k=12)
    coder = sparsify.read(folder)
    x = np.random.default_rng(0).normal(size=(50, 16)) * 2
    dense = np.maximum((x - weights["b_dec"]) @ weights["encoder.weight"].T + weights["encoder.bias"], 0)
    kept = np.argsort(-dense, axis=1)[:, :12]
    expected = {(i, int(j)): dense[i, j] for i, row in enumerate(kept) for j in row if dense[i, j] > 0}
    found = coder.encode(torch.tensor(x, dtype=torch.float32))
    places = list(zip(found.rows.tolist(), found.latents.tolist(), strict=True))
    assert set(places) == set(expected)
    assert len(places) == len(set(places)) < 50 * 12  # somewhere fewer than k are above 0
    assert np.allclose(found.values, [expected[place] for place in places], atol=1e-4)

    dense_kept = np.zeros_like(dense)
    for (i, j), value in expected.items():
        dense_kept[i, j] = value
    rebuilt = coder.decode(*coder.top(torch.tensor(x, dtype=torch.float32)))
    assert np.allclose(rebuilt, dense_kept @ weights["W_dec"] + weights["b_dec"], atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_any_precision_are_read_as_float32(folder: Path, dtype: torch.dtype) -> None:
    edit_weights(folder, **{name: value.to(dtype) for name, value in load_file(folder / "sae.safetensors").items()})
    coder = sparsify.read(folder)
    assert {tensor.dtype for tensor in (coder.W_enc, coder.b_enc, coder.W_dec, coder.b_dec)} == {torch.float32}


@pytest.mark.parametrize(
    ("config", "n"),
    [
        ({"num_latents": 0, "expansion_factor": 2}, 32),
        ({"num_latents": None, "expansion_factor": 3}, 48),
        ({"num_latents": 0}, 32 * 16),
        ({"num_latents": 40, "expansion_factor": 2}, 40),
    ],
)
def test_without_a_number_of_latents_the_expansion_factor_counts(folder: Path, config: dict[str, Any], n: int) -> None:
    edit_config(folder, **config)
    encoder = torch.ones(n, 16)
    edit_weights(folder, **{"encoder.weight": encoder, "encoder.bias": torch.ones(n), "W_dec": encoder.clone()})
    assert sparsify.read(folder).n_latents == n


def test_the_identity_is_of_the_content_not_the_place(folder: Path, coder_folder: Path) -> None:
    same = sparsify.read(folder).identity
    assert same == sparsify.read(coder_folder).identity
    edit_config(folder, k=3)
    other_k = sparsify.read(folder).identity
    edit_weights(folder, b_dec=torch.zeros(16))
    assert len({same["sha256"], other_k["sha256"], sparsify.read(folder).identity["sha256"]}) == 3


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"k": 0}, "expected k between 1 and the 24 latents in"),
        ({"k": -1}, "found -1"),
        ({"k": 25}, "found 25"),
        ({"k": None}, "expected whole numbers k and d_in in"),
        ({"k": "4"}, "expected whole numbers k and d_in in"),
        ({"d_in": None}, "expected whole numbers k and d_in in"),
        ({"d_in": 8}, "expected encoder.weight of shape [24, 8] in"),
        ({"num_latents": 12}, "expected encoder.weight of shape [12, 16] in"),
        ({"transcode": True}, "has transcode: true, which this version can't read"),
        ({"skip_connection": True}, "has skip_connection: true, which this version can't read"),
        ({"signed": True}, "has signed: true, which this version can't read"),
        ({"activation": "groupmax"}, "has the activation groupmax; only topk can be read"),
    ],
)
def test_a_config_that_does_not_fit_is_a_mistake(folder: Path, config: dict[str, Any], expected: str) -> None:
    edit_config(folder, **config)
    assert expected in mistake(folder)


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_a_config_that_is_no_json_is_a_mistake(folder: Path, text: str) -> None:
    (folder / "cfg.json").write_text(text, encoding="latin-1")
    assert mistake(folder) == f"expected JSON in {folder / 'cfg.json'}, but it can't be read; fetch the coder again"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"W_dec": None}, "expected a tensor W_dec in"),
        ({"encoder.bias": None}, "found W_dec, b_dec, encoder.weight"),
        ({"W_dec": torch.ones(16, 24)}, "expected W_dec of shape [24, 16] in"),
        ({"b_dec": torch.ones(24)}, "expected b_dec of shape [16] in"),
        ({"encoder.bias": torch.full((24,), torch.nan)}, "encoder.bias holds NaN or infinity"),
        ({"b_dec": torch.full((16,), torch.inf)}, "b_dec holds NaN or infinity"),
    ],
)
def test_weights_that_do_not_fit_are_a_mistake(
    folder: Path, weights: dict[str, torch.Tensor | None], expected: str
) -> None:
    edit_weights(folder, **weights)
    assert expected in mistake(folder)
    assert str(folder / "sae.safetensors") in mistake(folder)


@pytest.mark.parametrize("keep", [0, 4, 500])
def test_a_file_that_was_cut_is_a_mistake(folder: Path, keep: int) -> None:
    path = folder / "sae.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert mistake(folder).startswith(f"expected safetensors in {path}, but it can't be read: ")
