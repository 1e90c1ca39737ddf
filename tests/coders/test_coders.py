from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from stages import coders, params, registry
from stages.coders.readers import Options
from stages.errors import GlossaError
from stages.subject.load import Subject
from tests.clones import ROOT
from tests.coders.readers import folders
from tests.hub_server import Hub


def test_the_format_is_detected(coder_folder: Path) -> None:
    coder = coders.load(str(coder_folder))
    assert (coder.n_latents, coder.d_in, coder.identity["format"]) == (24, 16, "sparsify")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (None, "a coder's path should be a folder or a file, but there is none at "),
        ([], r"expected a sparse coder in .*, found nothing"),
        (["sae.safetensors"], r"expected cfg.json beside sae.safetensors in .*, found none"),
        (["b", "a"], r"expected a sparse coder in .*, found a, b"),
    ],
)
def test_a_folder_that_holds_no_coder_is_a_mistake(tmp_path: Path, files: list[str] | None, expected: str) -> None:
    folder = tmp_path / "coder"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).write_bytes(b"")
    with pytest.raises(GlossaError, match=expected):
        coders.load(str(folder))


def test_a_file_that_is_no_coder_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no weights")
    with pytest.raises(
        GlossaError, match=r"expected a sparse coder in .*notes.txt, found a file of another kind; docs"
    ):
        coders.load(str(tmp_path / "notes.txt"))


def test_a_folder_with_the_files_of_two_formats_is_a_mistake(coder_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(coder_folder, tmp_path / "both"))
    np.savez(folder / "params.npz", W_enc=np.zeros((2, 3)))
    with pytest.raises(GlossaError) as caught:
        coders.load(str(folder))
    assert str(caught.value) == (
        f"expected one sparse coder in {folder}, found the formats sparsify and gemma_scope; keep the files of one, or name it as "
        "format in params.yaml"
    )
    named = coders.load(str(folder), form="sparsify")
    assert named.identity == coders.load(str(coder_folder)).identity


def entry(folder: Path, form: str) -> params.Coder:
    return params.Coder(path=str(folder), format=form, hookpoint="layers.0")


def test_a_format_that_is_said_is_read_by_its_reader_alone(coder_folder: Path) -> None:
    asked: list[str] = []
    real = registry.module

    def module(units: Any, kind: str, *others: str) -> Any:
        asked.append(kind)
        return real(units, kind, *others)

    with mock.patch.object(registry, "module", module):
        said = coders.from_params("mine", entry(coder_folder, "sparsify"), 0)
    assert set(asked) == {"sparsify"}
    assert said.identity == coders.load(str(coder_folder)).identity


@pytest.mark.parametrize("name", folders.MAKERS)
def test_every_format_may_be_said(tmp_path: Path, name: str) -> None:
    made, form = folders.MAKERS[name](tmp_path / "coder"), name.split()[0]
    said = coders.load(str(made.path), made.options, form)
    assert said.identity == coders.load(str(made.path), made.options).identity
    assert said.identity["format"] == form


def test_a_format_that_is_unknown_is_a_mistake(coder_folder: Path, hub: Hub) -> None:
    with pytest.raises(GlossaError) as caught:
        coders.from_params("mine", entry(coder_folder, "sparsfy"), 0)
    assert str(caught.value) == (
        "params.yaml: coders.mine.format is 'sparsfy', which is unknown; did you mean sparsify?"
    )
    with pytest.raises(GlossaError, match="which is unknown"):  # before it asks the hub, where nothing is
        coders.load("hub://some/coders", form="sparsfy")


def test_files_that_are_not_of_the_format_that_is_said_are_a_mistake(coder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GlossaError) as caught:
        coders.from_params("mine", entry(coder_folder, "gemma_scope"), 0)
    assert str(caught.value) == (
        f"params.yaml: coders.mine.format is gemma_scope, but the files in {coder_folder} are in the format sparsify; correct one of them"
    )
    with pytest.raises(GlossaError, match=r"expected a sparse coder in .*, found nothing"):
        coders.from_params("mine", entry(tmp_path, "gemma_scope"), 0)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("google/gemma-scope-2b-pt-res", "hub://google/gemma-scope-2b-pt-res"),
        ("hf://mwhanna/qwen3/layer_1.safetensors@main", "hub://mwhanna/qwen3/layer_1.safetensors@main"),
        ("https://huggingface.co/EleutherAI/sae/tree/main/layers.6", "hub://EleutherAI/sae/layers.6"),
        ("/models/sae", None),
        ("../sae", None),
        ("https://example.org/sae", None),
    ],
)
def test_an_address_of_the_hub_in_another_spelling_is_told_ours(path: str, address: str | None) -> None:
    with pytest.raises(GlossaError) as caught:
        coders.load(path)
    hint = f", or write {address} if it is on the Hub" if address else ""
    assert str(caught.value) == (
        f"a coder's path should be a folder or a file, but there is none at {path}; correct it{hint}"
    )


def test_a_coder_from_the_hub_is_the_one_that_lies_there(hub: Hub) -> None:
    folder = ROOT / "tests/toy/coders/resid1"
    commit = hub.add("some/coders", folder).branches["main"]
    here, fetched = coders.load(str(folder)), coders.load("hub://some/coders/resid1")
    assert fetched.identity == {**here.identity, "repository": "some/coders", "commit": commit}
    assert fetched.source == "hub://some/coders/resid1"
    assert torch.equal(fetched.W_enc, here.W_enc)
    hub.repositories["some/coders"].commit({**hub.repositories["some/coders"].commits[commit], "readme.md": b"new"})
    moved = coders.load("hub://some/coders/resid1").identity
    assert moved["commit"] != commit
    assert moved["sha256"] == here.identity["sha256"], "the hash is of the content"


def test_a_repository_of_coders_lists_them(hub: Hub) -> None:
    repository = hub.add("some/coders", *(ROOT / f"tests/toy/coders/{name}" for name in ("resid1", "mlp2")))
    repository.commit({**repository.commits[repository.branches["main"]], "readme.md": b"many"})
    with pytest.raises(GlossaError) as caught:
        coders.load("hub://some/coders")
    assert str(caught.value) == (
        "expected one sparse coder in hub://some/coders, found some in folders inside it; point at one of mlp2, resid1"
    )


def test_a_checkpoint_from_the_hub_is_read_with_its_config(hub: Hub, tmp_path: Path) -> None:
    place = tmp_path / "resid_post_layer_3" / "trainer_0"
    folders.dictionary(place, kind="AutoEncoder")
    (place / "checkpoints").mkdir()
    (place / "ae.pt").rename(place / "checkpoints/ae_500.pt")
    hub.add("some/coders", tmp_path / "resid_post_layer_3")
    inside = "resid_post_layer_3/trainer_0/checkpoints/ae_500.pt"
    here, fetched = coders.load(str(tmp_path / inside)), coders.load(f"hub://some/coders/{inside}")
    assert fetched.identity["sha256"] == here.identity["sha256"]
    assert fetched.hookpoint == here.hookpoint


def test_params_say_where_a_coder_reads(coder_folder: Path, make_coder: Callable[..., Path], tmp_path: Path) -> None:
    coder = coders.from_params("mine", params.Coder(path=str(coder_folder), hookpoint="layers.1"), 0)
    assert coder.hookpoint == "layers.1"
    assert coder.identity == coders.load(str(coder_folder)).identity
    named = make_coder(tmp_path / "layers.0", seed=1)
    assert coders.from_params("mine", params.Coder(path=str(named)), 0).hookpoint == "layers.0"
    assert coders.from_params("mine", params.Coder(path=str(named), hookpoint="layers.1"), 0).hookpoint == "layers.1"
    unnamed = make_coder(tmp_path / "some_coder", seed=1)
    with pytest.raises(
        GlossaError, match=r"params.yaml: coders.mine should have a hookpoint, as the files in .* do not say"
    ):
        coders.from_params("mine", params.Coder(path=str(unnamed)), 0)


def test_params_add_what_files_do_not_say(coder_folder: Path) -> None:
    centred = coders.from_params("mine", params.Coder(path=str(coder_folder), hookpoint="layers.1", centre=True), 0)
    assert centred.input_norm == "centre"
    assert centred.identity == coders.load(str(coder_folder), Options(centre=True)).identity
    with pytest.raises(GlossaError, match=r"take norm_factor out of params\.yaml"):
        coders.from_params("mine", params.Coder(path=str(coder_folder), hookpoint="layers.1", norm_factor=2.0), 0)


def test_controls_are_made_from_the_subject(subject: Subject) -> None:
    neurons = coders.from_params("n", params.Neurons(kind="neurons", hookpoint="layers.1.mlp", k=3), 0, subject)
    assert (neurons.n_latents, neurons.hookpoint) == (32, "layers.1.mlp.down_proj.input")
    for hookpoint, width in (("layers.1", 16), ("layers.0.mlp.down_proj.input", 32)):
        entry = params.RandomCoder(kind="random", hookpoint=hookpoint, latents=40, k=3)
        control = coders.from_params("r", entry, 0, subject)
        assert (control.d_in, control.n_latents, control.hookpoint) == (width, 40, hookpoint)
        other = coders.from_params("r", entry, 1, subject)
        assert control.identity["sha256"] != other.identity["sha256"]
    with pytest.raises(ValueError, match="the control r is made from a subject"):
        coders.from_params("r", entry, 0)
