"""Our reader of dictionary_learning's coders against dictionary_learning itself, on random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.coders.readers import Options, dictionary_learning
from stages.errors import GlossaError
from tests.coders.readers import folders, on_disk
from tests.coders.readers.dense import encoded, reconstructed

peer = pytest.importorskip("dictionary_learning")
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE  # noqa: E402
from dictionary_learning.utils import load_dictionary  # noqa: E402


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", folders.CLASSES)
def test_every_class(tmp_path: Path, kind: str, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """In the unit that its own loader gives a latent: it rescales an AutoEncoder, and no other class."""
    folders.dictionary(tmp_path, kind=kind, seed=seed)
    ours = dictionary_learning.read(tmp_path, Options())
    x = np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32)
    with torch.inference_mode():
        theirs, _ = load_dictionary(str(tmp_path), device="cpu")
        latents = theirs.encode(torch.from_numpy(x))
        outputs = theirs.decode(latents)
    assert 0 < (latents != 0).sum() < latents.numel()
    assert np.allclose(encoded(ours, x), latents, rtol=1e-5, atol=1e-5)
    assert np.allclose(reconstructed(ours, x), outputs, rtol=1e-5, atol=1e-5)


def test_every_class_that_its_loader_knows_is_read() -> None:
    source = Path(load_dictionary.__code__.co_filename).read_text()
    assert all(f'"{kind}"' in source for kind in folders.CLASSES)
    assert source.count("dict_class ==") == len(folders.CLASSES) == len(dictionary_learning.LAYOUTS)


def test_biases_that_it_scaled_for_saving_take_raw_activations(tmp_path: Path) -> None:
    """With normalize_activations it trains on x / factor and multiplies biases and thresholds by the factor at the end."""
    made = folders.dictionary(tmp_path, kind="MatryoshkaBatchTopKSAE")
    x = np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32) * 5
    with torch.inference_mode():
        trained = MatryoshkaBatchTopKSAE.from_pretrained(made.weights)
        latents = trained.encode(torch.from_numpy(x) / 5)
        trained.scale_biases(5)
        torch.save(trained.state_dict(), made.weights)
    assert np.allclose(encoded(dictionary_learning.read(tmp_path, Options()), x), latents * 5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE"])
def test_a_threshold_that_was_never_set_is_refused(tmp_path: Path, kind: str) -> None:
    """Theirs would fire at everything positive, many times k, which is what no one trained it for."""
    made = folders.dictionary(tmp_path, kind=kind)
    tensors = on_disk.read_tensors(made.weights)
    on_disk.write_tensors(made.weights, {**tensors, "threshold": torch.tensor(-1.0)})
    theirs, _ = load_dictionary(str(tmp_path), device="cpu")
    with torch.inference_mode():
        fired = (
            (theirs.encode(torch.randn(64, 8, generator=torch.Generator().manual_seed(0))) > 0)
            .sum(dim=1)
            .float()
            .mean()
        )
    assert fired > 2 * folders.K
    with pytest.raises(GlossaError, match="training never set it"):
        dictionary_learning.read(tmp_path, Options())


def test_a_topk_of_before_there_were_thresholds_is_read(tmp_path: Path) -> None:
    """Theirs can't load such a file any more, though its TopK uses no threshold."""
    made = folders.dictionary(tmp_path, kind="AutoEncoderTopK")
    before = dictionary_learning.read(tmp_path, Options())
    tensors = on_disk.read_tensors(made.weights)
    del tensors["threshold"]
    on_disk.write_tensors(made.weights, tensors)
    with pytest.raises(RuntimeError, match="threshold"):
        load_dictionary(str(tmp_path), device="cpu")
    x = np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32)
    assert np.array_equal(encoded(dictionary_learning.read(tmp_path, Options()), x), encoded(before, x))
