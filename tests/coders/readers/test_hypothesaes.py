from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given

from stages.coders.readers import Options, hypothesaes
from stages.errors import GlossaError
from tests.coders.readers import folders
from tests.coders.readers.by_hand import any_shape, assert_computes, inputs, relu, top, weights


@pytest.mark.parametrize("batch", [False, True])
@given(shape=any_shape)
def test_by_hand(shape: dict[str, Any], batch: bool) -> None:
    with TemporaryDirectory() as folder:
        made = folders.hypothesaes(Path(folder), batch=batch, **shape)
        coder, w = hypothesaes.read(made.path, Options()), weights(made.weights)
    x = inputs(shape["d"], shape["seed"])
    h = (x - w["input_bias"]) @ w["encoder.weight"].T + w["neuron_bias"]
    latents = relu(h) * (h > w["threshold"]) if batch else relu(top(h, 3))
    assert_computes(coder, x, latents, latents @ w["decoder.weight"].T + w["input_bias"])


def test_a_threshold_that_was_never_set_and_a_file_without_its_config(tmp_path: Path) -> None:
    made = folders.hypothesaes(tmp_path, batch=True)
    saved = torch.load(made.path, weights_only=True)
    torch.save({**saved, "state_dict": {**saved["state_dict"], "threshold": torch.tensor(0.0)}}, made.path)
    with pytest.raises(GlossaError, match="expected a threshold above 0 in"):
        hypothesaes.read(made.path, Options())
    torch.save(saved["state_dict"], made.path)
    with pytest.raises(GlossaError, match="expected a dict config beside the state dict in"):
        hypothesaes.read(made.path, Options())
