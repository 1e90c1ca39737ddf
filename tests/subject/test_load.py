from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from stages import params
from stages.errors import GlossaError
from stages.subject import load as loading
from stages.subject.load import Subject, load, pick_device

CPU = torch.device("cpu")
DOWN = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture
def folder(subject_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(subject_folder, tmp_path / "subject"))


def section(folder: Path | str, **values: str) -> params.Subject:
    return params.Subject.model_validate({"model": str(folder), **values})


def edit_weights(folder: Path, **values: torch.Tensor | None) -> None:
    weights = load_file(folder / "model.safetensors")
    for name, value in values.items():
        if value is None:
            del weights[name]
        else:
            weights[name] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_what_is_loaded_is_frozen_and_in_inference_mode(subject: Subject) -> None:
    assert not subject.model.training
    assert not any(parameter.requires_grad for parameter in subject.model.parameters())
    assert subject.vocabulary_size == 320
    assert next(subject.model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("weights", ["trained", "random"])
def test_weights_have_the_dtype_that_was_asked_for(subject_folder: Path, dtype: str, weights: str) -> None:
    loaded = load(section(subject_folder, dtype=dtype, weights=weights), 0, CPU)
    assert {str(parameter.dtype) for parameter in loaded.model.parameters()} == {f"torch.{dtype}"}


def test_the_identity_is_of_the_content_not_the_place(subject: Subject, folder: Path) -> None:
    same = load(section(folder), 0, CPU).identity
    assert same["sha256"] == subject.identity["sha256"]
    assert same["model"] == str(folder)
    assert load(section(folder), 1, CPU).identity["sha256"] == same["sha256"]  # the seed is for random weights


def test_the_identity_changes_with_all_that_decides_the_activations(subject: Subject, folder: Path) -> None:
    found = [
        subject.identity["sha256"],
        load(section(folder, dtype="bfloat16"), 0, CPU).identity["sha256"],
        load(section(folder, weights="random"), 0, CPU).identity["sha256"],
        load(section(folder, weights="random"), 1, CPU).identity["sha256"],
    ]
    edit_weights(folder, **{DOWN: torch.zeros(16, 32)})
    found.append(load(section(folder), 0, CPU).identity["sha256"])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    found.append(load(section(folder), 0, CPU).identity["sha256"])
    assert len(set(found)) == len(found)


def test_weights_saved_by_torch_count_as_well(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    first = load(section(folder), 0, CPU).identity
    torch.save({**weights, DOWN: torch.zeros(16, 32)}, folder / "pytorch_model.bin")
    second = load(section(folder), 0, CPU).identity
    assert first["files"].keys() == {"config.json", "pytorch_model.bin"}
    assert first["sha256"] != second["sha256"]


def test_a_repository_counts_by_name_and_commit(monkeypatch: pytest.MonkeyPatch, subject: Subject) -> None:
    config = SimpleNamespace(_commit_hash="c0ffee")

    class Model(torch.nn.Linear):
        def __init__(self) -> None:
            super().__init__(1, 1)
            self.config = config

    monkeypatch.setattr(loading, "_trained", lambda section: Model())
    found = [load(section(name), 0, CPU).identity for name in ("some/one", "some/other")]
    config._commit_hash = "decade"
    found.append(load(section("some/one"), 0, CPU).identity)
    assert [identity["revision"] for identity in found] == ["c0ffee", "c0ffee", "decade"]
    assert len({identity["sha256"] for identity in found}) == 3


def test_random_weights_depend_on_the_seed_and_leave_the_generator_alone(subject_folder: Path) -> None:
    def weight(seed: int) -> torch.Tensor:
        return load(section(subject_folder, weights="random"), seed, CPU).model.model.layers[0].mlp.up_proj.weight

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = weight(0)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, weight(0))
    assert not torch.equal(first, weight(1))


@pytest.mark.parametrize(
    "damage", ["no folder", "no config", "bad config", "no weights", "empty weights", "cut weights"]
)
def test_a_subject_that_can_t_be_loaded_is_a_mistake(folder: Path, damage: str) -> None:
    weights = folder / "model.safetensors"
    match damage:
        case "no folder":
            shutil.rmtree(folder)
        case "no config":
            (folder / "config.json").unlink()
        case "bad config":
            (folder / "config.json").write_text("{")
        case "no weights":
            weights.unlink()
        case "empty weights":
            weights.write_bytes(b"")
        case "cut weights":
            weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(GlossaError) as caught:
        load(section(folder), 0, CPU)
    message = str(caught.value)
    assert message.startswith(f"subject.model should be a causal language model, but {folder} can't be loaded: ")
    assert "\n" not in message


@pytest.mark.parametrize("value", [None, torch.zeros(3, 3)])
def test_weights_are_never_filled_in_silently(folder: Path, value: torch.Tensor | None) -> None:
    edit_weights(folder, **{DOWN: value})
    with pytest.raises(GlossaError, match=rf"{DOWN} is missing or of another shape \(1 in all\)"):
        load(section(folder), 0, CPU)


@pytest.mark.parametrize(
    ("length", "largest", "expected"),
    [
        (64, 319, None),
        (65, 319, "corpus.context_length should be at most 64, the longest row that the subject"),
        (64, 320, "the tokens go up to id 320, but the subject"),
    ],
)
def test_rows_have_to_fit(subject: Subject, length: int, largest: int, expected: str | None) -> None:
    if expected is None:
        subject.check_fits(length, largest)
        return
    with pytest.raises(GlossaError) as caught:
        subject.check_fits(length, largest)
    assert str(caught.value).startswith(expected)


def test_devices() -> None:
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("gpu", "", "cuda:99"):
        with pytest.raises(GlossaError, match=f"runtime device should be one that torch can use, but {name} is not"):
            pick_device(name)
