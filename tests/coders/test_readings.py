"""What coders reconstruct, and the hookpoints that are tried beside the one that is meant."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stages import coders
from stages.coders.readings import meant, mistaken
from stages.coders.sparse_coder import SparseCoder
from stages.subject.load import Subject
from tests import families
from tests.coders.checked import identity
from tests.coders.readers import folders
from tests.coders.readers.folders import MAKERS
from tests.conftest import WIDTH

ROW = torch.arange(6).unsqueeze(0) + 1

SEVERAL = ("transcoder", "cross", "circuit_tracer")
"""In the names of those that read or write elsewhere, or at several places."""
AUTOENCODERS = [name for name in MAKERS if not any(word in name for word in SEVERAL)]


@pytest.fixture(scope="module")
def gpt2() -> Subject:
    return Subject(families.make("gpt2"), "gpt2", {}, torch.device("cpu"))


def places(subject: Subject, coder: SparseCoder) -> dict[str, tuple[str, str]]:
    """What is read and reconstructed by the readings at other places, by what they are called."""
    found = [reading for reading in mistaken(subject, meant(subject, coder), ROW) if reading.what.startswith("at ")]
    return {reading.what.partition(", ")[2]: (reading.reads, reading.reconstructs) for reading in found}


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_an_autoencoder_reconstructs_what_it_reads(name: str, tmp_path: Path) -> None:
    assert coders.load(str(MAKERS[name](tmp_path / "coder").path)).reconstructs is None


def gemma_transcoder(folder: Path) -> Path:
    made = folders.gemma_scope(folder)
    place = folder / "gemma-scope-2b-pt-transcoders" / "layer_7" / "width_16k" / "average_l0_70"
    shutil.copytree(made.path, place)
    return place


def gemma_2_transcoder(folder: Path, config: bool) -> Path:
    made = folders.gemma_scope_2(folder / "transcoder" / "layer_5_width_16k_l0_medium")
    assert made.config is not None
    if config:
        norms = {"in": "pre_feedforward_layernorm", "out": "post_feedforward_layernorm"}
        hooks = {f"hf_hook_point_{end}": f"model.layers.5.{norm}.output" for end, norm in norms.items()}
        made.config.write_text(json.dumps({**json.loads(made.config.read_text()), **hooks}))
    else:
        made.config.unlink()
    return made.path


TRANSCODERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "saelens": (lambda at: folders.saelens(at, architecture="transcoder").path, "blocks.5.hook_mlp_out"),
    "gemma_scope": (gemma_transcoder, "layers.7.post_feedforward_layernorm"),
    "gemma_scope_2": (lambda at: gemma_2_transcoder(at, True), "model.layers.5.post_feedforward_layernorm.output"),
    "no config": (lambda at: gemma_2_transcoder(at, False), "model.layers.5.post_feedforward_layernorm.output"),
    "llama_scope": (
        lambda at: folders.llama_scope(at, hook_point_out="blocks.15.hook_mlp_out").path,
        "blocks.15.hook_mlp_out",
    ),
    "llamascopium": (
        lambda at: folders.llamascopium(at, hook_point_out="blocks.9.hook_mlp_out").path,
        "blocks.9.hook_mlp_out",
    ),
    "circuit_tracer": (lambda at: folders.circuit_tracer(at).path, "blocks.3.hook_mlp_out"),
}


@pytest.mark.parametrize("name", TRANSCODERS)
def test_a_transcoder_s_files_say_what_it_reconstructs(name: str, tmp_path: Path) -> None:
    make, expected = TRANSCODERS[name]
    found = coders.load(str(make(tmp_path / "coder")))
    assert found.reconstructs == expected


def test_both_names_of_one_place_are_one(subject: Subject) -> None:
    own = meant(subject, identity("blocks.1.hook_resid_post", reconstructs="model.layers.1.output"))
    assert (own.reads, own.reconstructs) == ("layers.1", "layers.1")


def test_places_beside_a_block(subject: Subject) -> None:
    assert places(subject, identity("layers.1")) == {"the previous layer": ("layers.0", "layers.0")}, (
        "its input is the layer before"
    )
    assert places(subject, identity("blocks.1.hook_resid_pre")) == {
        "the previous layer": ("layers.0.input", "layers.0.input"),
        "the output of the same module": ("layers.1", "layers.1"),
    }
    assert places(subject, identity("embed_tokens")) == {}


def test_places_beside_a_norm_and_an_mlp(gpt2: Subject) -> None:
    assert places(gpt2, identity("h.0.ln_2")) == {
        "the next layer": ("h.1.ln_2", "h.1.ln_2"),
        "the input of the same module": ("h.0.ln_2.input", "h.0.ln_2.input"),
        "the same norm before its gain and bias": ("h.0.ln_2.normalized", "h.0.ln_2.normalized"),
    }
    transcoder = identity("h.1.ln_2", reconstructs="h.1.mlp")
    assert places(gpt2, transcoder) == {
        "the previous layer": ("h.0.ln_2", "h.0.mlp"),
        "the input of the same module": ("h.1.ln_2.input", "h.1.mlp"),
        "the same norm before its gain and bias": ("h.1.ln_2.normalized", "h.1.mlp"),
    }


def test_places_of_another_width_are_left_out(subject: Subject) -> None:
    wide = replace(identity("layers.0.mlp.down_proj"), reconstructs=None)
    assert set(places(subject, wide)) == {"the next layer"}, "it takes in 32 values"
    assert WIDTH == 16
