from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.coders.readers import Options, gemma_scope
from stages.errors import GlossaError
from tests.coders.readers.dense import encoded, reconstructed

NONE = Options()
Arrays = dict[str, np.ndarray]


def arrays_of(d_in: int = 8, n: int = 16, seed: int = 0, dtype: str = "float32") -> Arrays:
    generator = np.random.default_rng(seed)
    shapes = {"W_enc": (d_in, n), "W_dec": (n, d_in), "b_enc": (n,), "b_dec": (d_in,), "threshold": (n,)}
    arrays = {name: (generator.normal(size=shape) / 2).astype(dtype) for name, shape in shapes.items()}
    return {**arrays, "threshold": np.abs(arrays["threshold"])}


def write(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "params.npz", **arrays)  # type: ignore[arg-type]
    return folder


def by_hand(arrays: Arrays, x: np.ndarray, factor: float = 1) -> tuple[np.ndarray, np.ndarray]:
    w = {name: value.astype(np.float64) for name, value in arrays.items()}
    h = factor * x @ w["W_enc"] + w["b_enc"]
    latents = np.maximum(h, 0) * (h > w["threshold"])
    return latents, (latents @ w["W_dec"] + w["b_dec"]) / factor


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coder")


@given(
    seed=st.integers(0, 2**32 - 1),
    d_in=st.integers(1, 24),
    n=st.integers(4, 24),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    lower=st.booleans(),
    centre=st.booleans(),
)
def test_encoding_by_hand(place: Path, seed: int, d_in: int, n: int, dtype: str, lower: bool, centre: bool) -> None:
    arrays = arrays_of(d_in, n, seed, dtype)
    named = {name.lower() if lower else name: value for name, value in arrays.items()}
    coder = gemma_scope.read(write(place, named), Options(centre=centre))
    x = np.random.default_rng(1).normal(size=(30, d_in)) * 2 + 0.3
    latents, outputs = by_hand(arrays, x - x.mean(1, keepdims=True) if centre else x)
    assert np.allclose(encoded(coder, x), latents, atol=1e-4)
    assert np.allclose(reconstructed(coder, x), outputs, atol=1e-4)


def test_a_threshold_has_to_be_exceeded_and_no_bias_is_subtracted(tmp_path: Path) -> None:
    one = np.ones((1, 1), np.float32)
    arrays = {"W_enc": one, "W_dec": one, "b_enc": one[0] * 0, "b_dec": one[0] * 9, "threshold": one[0] / 2}
    coder = gemma_scope.read(write(tmp_path, arrays), NONE)
    assert encoded(coder, np.array([[0.5], [0.75], [-9]])).tolist() == [[0], [0.75], [0]]


@pytest.mark.parametrize(
    ("path", "hookpoint", "l0"),
    [
        ("gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71", "layers.20", 71),
        ("google/gemma-scope-9b-it-res/layer_9/width_131k/average_l0_121", "layers.9", 121),
        ("gemma-scope-27b-pt-res/layer_0/width_131k/canonical", "layers.0", None),
        ("gemma-scope-9b-pt-mlp/layer_3/width_16k/average_l0_50", "layers.3.post_feedforward_layernorm", 50),
        ("gemma-scope-2b-pt-att/layer_3/width_65k/average_l0_104", "layers.3.self_attn.o_proj.input", 104),
        (
            "gemma-scope-2b-pt-transcoders/layer_5/width_16k/average_l0_76",
            "layers.5.pre_feedforward_layernorm.normalized",
            76,
        ),
        (
            "models--google--gemma-scope-2b-pt-att/snapshots/0a1b/layer_12/width_16k/average_l0_85",
            "layers.12.self_attn.o_proj.input",
            85,
        ),
        ("mine/layer_20/width_16k/average_l0_71", None, 71),
        ("gemma-scope-2b-pt-res/mine", None, None),
        ("gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71/copy", None, None),
    ],
)
def test_the_published_folders_say_what_a_coder_reads(tmp_path: Path, path: str, hookpoint: str, l0: int) -> None:
    coder = gemma_scope.read(write(tmp_path / path, arrays_of()), NONE)
    assert (coder.hookpoint, coder.published_l0) == (hookpoint, l0)


def test_a_relative_path_does_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71", arrays_of())
    monkeypatch.chdir(folder)
    coder = gemma_scope.read(Path(), NONE)
    assert (coder.hookpoint, coder.published_l0) == ("layers.20", 71)


def test_coders_of_embeddings_need_the_scale_that_their_files_do_not_say(tmp_path: Path) -> None:
    folder = write(tmp_path / "gemma-scope-2b-pt-res/embedding/width_4k/average_l0_44", arrays_of())
    assert "give the constant by which they are to be multiplied as norm_factor in params.yaml" in mistake(folder)
    coder = gemma_scope.read(folder, Options(norm_factor=8**-0.5))
    x = np.random.default_rng(0).normal(size=(30, 8)) * 5
    latents, outputs = by_hand(arrays_of(), x, 8**-0.5)
    assert np.allclose(encoded(coder, x), latents, atol=1e-4)
    assert np.allclose(reconstructed(coder, x), outputs, atol=1e-4)
    assert (coder.hookpoint, coder.published_l0) == ("hook_embed", 44)
    assert coder.identity != gemma_scope.read(folder, Options(norm_factor=1.0)).identity


def test_the_identity_is_of_the_content_not_the_place(tmp_path: Path) -> None:
    def sha(name: str, arrays: Arrays, options: Options = NONE) -> str:
        return str(gemma_scope.read(write(tmp_path / name, arrays), options).identity["sha256"])

    first = sha("layer_1/width_16k/average_l0_7", arrays_of())
    assert sha("b", arrays_of()) == first
    assert len({first, sha("c", arrays_of(seed=1)), sha("d", arrays_of(), Options(centre=True))}) == 3


def mistake(folder: Path, options: Options = NONE) -> str:
    with pytest.raises(GlossaError) as caught:
        gemma_scope.read(folder, options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"threshold": None}, "expected a tensor threshold in"),
        ({"W_enc": None}, "expected a tensor w_enc in"),
        ({"scaling_factor": np.ones(16, np.float32)}, "found scaling_factor too"),
        ({"w_enc": np.ones((8, 16), np.float32)}, "expected every array once in"),
        ({"W_dec": np.ones((8, 16), np.float32)}, "expected w_dec of shape [16, 16] in"),
        ({"W_enc": np.ones(16, np.float32)}, "expected a matrix for w_enc in"),
        ({"b_enc": np.ones(8, np.float32)}, "expected b_enc of shape [16] in"),
        ({"b_dec": np.full(8, np.nan, np.float32)}, "b_dec holds NaN or infinity"),
        ({"threshold": np.ones(16, np.int64)}, "expected floating-point numbers for threshold in"),
        ({"b_enc": np.array([{"no": "code"}])}, "but it can't be read"),
        ({"W_enc": np.ones((0, 16), np.float32)}, "expected w_enc to hold numbers in"),
    ],
)
def test_arrays_that_do_not_fit_are_a_mistake(
    tmp_path: Path, changes: dict[str, np.ndarray | None], expected: str
) -> None:
    arrays = {name: value for name, value in {**arrays_of(), **changes}.items() if value is not None}
    assert expected in mistake(write(tmp_path, arrays))


@pytest.mark.parametrize("keep", [0, 30, 700])
def test_a_file_that_was_cut_is_a_mistake(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path, arrays_of()) / "params.npz"
    path.write_bytes(path.read_bytes()[:keep])
    assert mistake(tmp_path).startswith(f"expected arrays in {path}, but it can't be read (")


def test_a_factor_is_for_coders_of_embeddings_alone(tmp_path: Path) -> None:
    assert "take norm_factor out of params.yaml" in mistake(write(tmp_path, arrays_of()), Options(norm_factor=2.0))


def test_detection(tmp_path: Path) -> None:
    assert not gemma_scope.detect(tmp_path)
    assert gemma_scope.detect(write(tmp_path, arrays_of()))
