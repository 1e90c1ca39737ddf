from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from stages import gguf, params
from stages.errors import GlossaError
from stages.subject import lazy
from stages.subject import load as loading
from stages.subject.hookpoints import activations, resolve, width
from stages.subject.load import Subject
from tests import families
from tests.hub_server import Hub
from tests.llm import tiny_chat

CPU = torch.device("cpu")
IDS = torch.arange(8)[None]
NAMES = [
    "layers.1",
    "model.layers.0.mlp",
    "layers.1.mlp.down_proj.input",
    "layers.0.post_attention_layernorm.normalized",
    "blocks.1.hook_resid_post",
    "blocks.0.ln2.hook_normalized",
]
WRONG = ["layers.2", "layer.1", "layers.0.mlp.normalized", "blocks.7.hook_resid_post", "hook_pos"]


@pytest.fixture
def folder(subject_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(subject_folder, tmp_path / "subject"))


def section(model: Path | str, **values: str) -> params.Subject:
    return params.Subject.model_validate({"model": str(model), **values})


def meet(model: Path | str, **values: str) -> None:
    """Asks what is kept of a subject, for which it is loaded."""
    found = lazy.load(section(model, **values), 0, "cpu")
    found.check_fits(1, 0)
    assert "model" in vars(found)


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes it a failure to load a model from now on."""

    def begin() -> None:
        monkeypatch.setattr(loading, "causal_lm", lambda *asked, **more: pytest.fail("the subject was loaded"))

    return begin


def refusal(subject: Subject, hookpoint: str) -> str:
    with pytest.raises(GlossaError) as caught:
        resolve(subject, hookpoint)
    return str(caught.value)


def alike(found: Subject, expected: Subject) -> None:
    """All that needs no weights is the same, to the order."""
    assert json.dumps(found.identity) == json.dumps(expected.identity)
    assert (found.name, found.vocabulary_size, found.limit) == (
        expected.name,
        expected.vocabulary_size,
        expected.limit,
    )
    assert list(found.places.items()) == list(expected.places.items())
    assert list(found.kinds.items()) == list(expected.kinds.items())


def test_a_subject_that_is_known_is_not_loaded_for_what_needs_no_weights(
    folder: Path, unloadable: Callable[[], None]
) -> None:
    expected = loading.load(section(folder), 0, CPU)
    meet(folder)
    unloadable()
    found = lazy.load(section(folder), 0, "cpu")
    alike(found, expected)
    for name in NAMES:
        assert resolve(found, name).name == resolve(expected, name).name
    for name in WRONG:
        assert refusal(found, name) == refusal(expected, name)
    for length, largest in ((65, 0), (64, 320)):
        with pytest.raises(GlossaError) as caught:
            expected.check_fits(length, largest)
        with pytest.raises(GlossaError) as again:
            found.check_fits(length, largest)
        assert str(again.value) == str(caught.value)
    with pytest.raises(pytest.fail.Exception):
        activations(found, ["layers.0"], IDS)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gpt_neox-sequential", "gemma2", "gemma3_text", "qwen3"])
def test_every_family_is_known_as_it_is(tmp_path: Path, family: str, unloadable: Callable[[], None]) -> None:
    families.make(family).save_pretrained(tmp_path / "model")
    expected = loading.load(section(tmp_path / "model"), 0, CPU)
    meet(tmp_path / "model")
    unloadable()
    alike(lazy.load(section(tmp_path / "model"), 0, "cpu"), expected)


def test_it_is_loaded_for_a_forward_pass_and_then_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    causal_lm = loading.causal_lm
    monkeypatch.setattr(loading, "causal_lm", lambda *asked: made.append(asked) or causal_lm(*asked))
    found = lazy.load(section(folder), 0, "cpu")
    assert made == []
    read = activations(found, ["layers.1"], IDS)["layers.1"]
    found.check_fits(1, 0)
    assert len(made) == 1
    assert torch.equal(read, activations(loading.load(section(folder), 0, CPU), ["layers.1"], IDS)["layers.1"])
    assert found.device == CPU


def test_a_width_is_known_once_it_was_tried(folder: Path, unloadable: Callable[[], None]) -> None:
    assert width(lazy.load(section(folder), 0, "cpu"), "model.layers.0.mlp.down_proj.input") == 32
    unloadable()
    assert width(lazy.load(section(folder), 0, "cpu"), "layers.0.mlp.down_proj.input") == 32
    with pytest.raises(pytest.fail.Exception):
        width(lazy.load(section(folder), 0, "cpu"), "layers.1.mlp.down_proj.input")


def other_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def other_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 48}))


def no_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("change", [other_weights, other_config])
def test_one_that_changed_is_another_one(
    folder: Path, change: Callable[[Path], None], unloadable: Callable[[], None]
) -> None:
    meet(folder)
    change(folder)
    expected = loading.load(section(folder), 0, CPU)
    alike(lazy.load(section(folder), 0, "cpu"), expected)
    other_weights(folder)
    unloadable()
    with pytest.raises(pytest.fail.Exception):
        lazy.load(section(folder), 0, "cpu").check_fits(1, 0)


@pytest.mark.parametrize("name", ["versions", "STARTS"])
def test_other_packages_or_other_code_load_it_again(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, unloadable: Callable[[], None]
) -> None:
    meet(folder)
    unloadable()
    monkeypatch.setattr(lazy, name, {"versions": dict, "STARTS": ("stages.errors",)}[name])
    with pytest.raises(pytest.fail.Exception):
        lazy.load(section(folder), 0, "cpu").check_fits(1, 0)


def test_what_is_kept_is_checked_and_may_go(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], unloadable: Callable[[], None]
) -> None:
    meet(folder)
    (kept,) = (tmp_path / "home" / lazy.KEPT).iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"320", b"999"))
    meet(folder)
    assert "is damaged" in capsys.readouterr().err
    shutil.rmtree(kept.parent)
    meet(folder)
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("in the way")
    meet(folder)


def no_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])


@pytest.mark.parametrize("damage", [no_folder, no_config, no_weights, cut_weights, no_tensor])
def test_what_can_t_be_loaded_is_refused_as_ever(folder: Path, damage: Callable[[Path], None]) -> None:
    meet(folder)
    damage(folder)
    with pytest.raises(GlossaError) as caught:
        loading.load(section(folder), 0, CPU)
    with pytest.raises(GlossaError) as again:
        lazy.load(section(folder), 0, "cpu").check_fits(1, 0)
    assert str(again.value) == str(caught.value)


@pytest.mark.parametrize(
    "values", [{"quantization": "4bit", "weights": "random"}, {"model": "no/such.gguf"}, {"model": "no folder"}]
)
def test_what_can_t_be_is_refused_as_ever(folder: Path, values: dict[str, str]) -> None:
    asked = section(**{"model": str(folder), **values})
    with pytest.raises(GlossaError) as caught:
        loading.load(asked, 0, CPU)
    with pytest.raises(GlossaError) as again:
        lazy.load(asked, 0, "cpu").check_fits(1, 0)
    assert str(again.value) == str(caught.value)


@pytest.mark.parametrize("weights", ["trained", "random"])
def test_a_repository_is_known_by_its_commit(
    hub: Hub, subject_folder: Path, weights: str, unloadable: Callable[[], None]
) -> None:
    repository = hub.add("some/subject", subject_folder, inside=".")
    meet("some/subject", weights=weights)
    expected = loading.load(section("some/subject", weights=weights), 0, CPU)
    unloadable()
    found = lazy.load(section("some/subject", weights=weights), 0, "cpu")
    alike(found, expected)
    first = repository.branches["main"]
    assert found.identity["revision"] == first
    changed = json.loads(repository.commits[first]["config.json"]) | {"rms_norm_eps": 0.1}
    repository.commit({**repository.commits[first], "config.json": json.dumps(changed).encode()})
    with pytest.raises(pytest.fail.Exception):
        lazy.load(section("some/subject", weights=weights), 0, "cpu").check_fits(1, 0)
    alike(lazy.load(section("some/subject", weights=weights, revision=first), 0, "cpu"), expected)


def test_the_commit_that_was_found_is_the_one_that_is_loaded(hub: Hub, subject_folder: Path) -> None:
    repository = hub.add("some/subject", subject_folder, inside=".")
    first = repository.branches["main"]
    found = lazy.load(section("some/subject"), 0, "cpu")
    changed = json.loads(repository.commits[first]["config.json"]) | {"max_position_embeddings": 48}
    repository.commit({**repository.commits[first], "config.json": json.dumps(changed).encode()})
    assert (found.limit, found.identity["revision"]) == (64, first)


def test_a_file_of_gguf_is_known_by_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unloadable: Callable[[], None]
) -> None:
    file = tiny_chat.write_gguf(tiny_chat.make(tmp_path / "model"), tmp_path / "tiny.gguf")
    expected = loading.load(section(file), 0, CPU)
    meet(file)
    unloadable()
    monkeypatch.setattr(gguf, "_unpacked", lambda *asked: pytest.fail("the file was unpacked"))
    elsewhere = Path(shutil.move(file, tmp_path / "moved.gguf"))
    found = lazy.load(section(elsewhere), 0, "cpu")
    found.identity["model"] = "tiny.gguf"
    alike(found, loading.Subject(expected.model, "moved.gguf", expected.identity, CPU))
    with elsewhere.open("ab") as end:
        end.write(b"\0")
    with pytest.raises(pytest.fail.Exception):
        lazy.load(section(elsewhere), 0, "cpu").check_fits(1, 0)
