from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from stages import params
from stages.coders import neurons
from stages.errors import GlossaError
from stages.subject import load as loading
from stages.subject.hookpoints import activations
from stages.subject.load import Subject, load, pick_device
from tests import families
from tests.clones import ROOT
from tests.hub_server import Hub, serving

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


@pytest.mark.parametrize("weights", ["trained", "random"])
def test_a_repository_counts_by_name_and_commit(hub: Hub, subject_folder: Path, weights: str) -> None:
    repository = hub.add("some/subject", subject_folder, inside=".")
    first = repository.branches["main"]
    found = [load(section("some/subject", weights=weights), 0, CPU).identity]
    config = json.loads(repository.commits[first]["config.json"])
    changed = json.dumps({**config, "rms_norm_eps": 0.1}).encode()
    second = repository.commit({**repository.commits[first], "config.json": changed})
    for revision in ("main", first, second):
        found.append(load(section("some/subject", weights=weights, revision=revision), 0, CPU).identity)
    assert [identity["revision"] for identity in found] == [first, second, first, second]
    assert found[0]["sha256"] == found[2]["sha256"] != found[1]["sha256"] == found[3]["sha256"]
    hub.repositories["some/copy"] = repository
    assert load(section("some/copy", weights=weights), 0, CPU).identity["sha256"] != found[1]["sha256"]


def test_what_is_loaded_from_the_hub_is_what_lies_there(hub: Hub, subject: Subject, subject_folder: Path) -> None:
    hub.add("some/subject", subject_folder, inside=".")
    expected = subject.model.state_dict()
    for _ in range(2):
        loaded = load(section("some/subject"), 0, CPU).model.state_dict()
        assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_the_cache_serves_when_the_hub_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, subject_folder: Path
) -> None:
    with serving(monkeypatch, tmp_path / "hub") as hub:
        hub.add("some/subject", subject_folder, inside=".")
        before = load(section("some/subject"), 0, CPU).identity
    for offline in (False, True):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        assert load(section("some/subject"), 0, CPU).identity == before
        assert load(section("some/subject", revision=before["revision"]), 0, CPU).identity == before
        end = "keeps it from being fetched; unset that" if offline else "can't be reached; connect, and run again"
        assert mistake("some/other").endswith(end)


def mistake(name: str, **values: str) -> str:
    with pytest.raises(GlossaError) as caught:
        load(section(name, **values), 0, CPU)
    message = str(caught.value)
    assert "\n" not in message
    start = f"subject.model should be a causal language model, but {name} can't be loaded: "
    assert message.startswith(start)
    return message.removeprefix(start)


def test_a_repository_that_gives_nothing_says_why(
    hub: Hub, subject_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = hub.add("some/subject", subject_folder, inside=".")
    assert mistake("some/other").startswith(
        f"{hub.url} has no repository some/other, or it is private; correct the name, or"
    )
    assert mistake("some/subject", revision="v2").startswith(
        "some/subject has no revision v2; name a branch, a tag or a"
    )
    assert mistake("no folder") == "no folder is neither a folder here nor the name of a repository"
    repository.gated = True
    assert mistake("some/subject").startswith(
        f"some/subject is gated; accept its terms on {hub.url}/some/subject, and give"
    )
    repository.gated, repository.token = False, "secret"
    assert mistake("some/subject").endswith("give a token that may read it in HF_TOKEN or by hf auth login")
    monkeypatch.setenv("HF_TOKEN", "stale")
    assert mistake("some/subject").startswith(
        f"{hub.url} refuses the token in use (401); give one that may read some/subject"
    )
    monkeypatch.setenv("HF_TOKEN", "secret")
    hub.cut = True
    assert mistake("some/subject") == "the download ended early, and nothing of it was kept; run again"
    hub.cut = False
    assert load(section("some/subject"), 0, CPU).identity["revision"] == repository.branches["main"]


def test_a_model_that_also_sees_images_is_read_as_text(tmp_path: Path) -> None:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    sees = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = Gemma3Config(
        text_config=families.SPECIAL["gemma3_text"],
        vision_config=sees,
        mm_tokens_per_image=4,
        boi_token_index=60,
        eoi_token_index=61,
        image_token_index=62,
    )
    Gemma3ForConditionalGeneration(config).save_pretrained(tmp_path)
    subject = load(section(tmp_path), 0, CPU)
    ids = torch.arange(24).reshape(2, 12)
    with torch.no_grad():
        states = subject.model(input_ids=ids, output_hidden_states=True).hidden_states
    names = [
        "layers.0",
        "model.language_model.layers.0.output",
        "language_model.model.layers.0",
        "blocks.0.hook_resid_post",
    ]
    for name, read in activations(subject, names, ids).items():
        assert torch.equal(read, states[1]), name
    assert not any("vision" in path for path in subject.modules)
    subject.check_fits(64, 63)
    with pytest.raises(GlossaError, match="should be at most 64, the longest row"):
        subject.check_fits(65, 63)


@pytest.mark.parametrize(
    ("values", "device_map", "expected"),
    [
        (
            {"quantization": "8bit"},
            None,
            "subject.quantization 8bit needs the package {package}, which is not installed; run pip install -c",
        ),
        (
            {"quantization": "4bit"},
            None,
            "subject.quantization 4bit needs the package {package}, which is not installed; run pip install -c",
        ),
        (
            {},
            "auto",
            "the device map of the runtime needs the package accelerate, which is not installed; run pip install",
        ),
    ],
)
def test_what_needs_another_package_names_it(
    subject_folder: Path, values: dict[str, str], device_map: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("accelerate", "bitsandbytes") if values else ("accelerate",):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, package=package: None if name == package else object()
        )
        with pytest.raises(GlossaError) as caught:
            load(section(subject_folder, **values), 0, CPU, device_map)
        assert str(caught.value).startswith(expected.format(package=package))
        assert "'.[quantize]'" in str(caught.value)


@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_a_quantized_subject_computes_nearly_the_same(kind: str) -> None:
    pytest.importorskip("bitsandbytes", reason="it comes with the extra quantize")
    folder = ROOT / "tests/toy/subject"
    plain, quantized = load(section(folder), 0, CPU), load(section(folder, quantization=kind), 0, CPU)
    assert quantized.modules["layers.2.mlp.down_proj"].weight.dtype in (torch.int8, torch.uint8)
    ids = torch.arange(64).reshape(2, 32) + 3
    expected, found = (activations(subject, ["layers.2"], ids)["layers.2"] for subject in (plain, quantized))
    error = (found - expected).pow(2).sum() / (expected - expected.mean((0, 1))).pow(2).sum()
    assert 0 < error < 0.1
    one, other = (neurons.load(subject, "layers.2.mlp", 8).W_dec for subject in (plain, quantized))
    assert torch.cosine_similarity(one, other, dim=1).mean() > 0.99


def test_a_quantized_subject_is_another_one(subject_folder: Path) -> None:
    """What is written down; the quantization itself is bitsandbytes'."""
    plain = loading.identity(section(subject_folder), 0, None)
    for kind in ("8bit", "4bit"):
        quantized = loading.identity(section(subject_folder, quantization=kind), 0, None)
        assert quantized["quantization"] == kind
        assert quantized["sha256"] != plain["sha256"]
    with pytest.raises(
        GlossaError, match=r"subject\.quantization needs trained weights, found weights: random; leave one out"
    ):
        load(section(subject_folder, quantization="4bit", weights="random"), 0, CPU)


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
