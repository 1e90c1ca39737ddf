"""Addresses of SAELens, resolved by a registry of the same layout in a package that lies where an installed one would."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest
import torch

from stages import coders
from stages.coders.readers import Options
from stages.coders.saelens_registry import find
from stages.errors import GlossaError
from tests.coders.readers import folders
from tests.hub_server import Hub

REGISTRY = """\
# a comment
gpt2-small-res-jb:
  config_overrides:
    model_from_pretrained_kwargs:
      center_writing_weights: true
  conversion_func: null
  model: gpt2-small
  repo_id: jbloom/GPT2-Small-SAEs-Reformatted
  saes:
  - id: blocks.0.hook_resid_pre
    path: blocks.0.hook_resid_pre
    l0: 10.0
    neuronpedia: gpt2-small/0-res-jb
gemma-scope-2b-pt-res:
  conversion_func: gemma_2
  model: gemma-2-2b
  repo_id: google/gemma-scope-2b-pt-res
  saes:
  - id: layer_0/width_16k/average_l0_105
    path: layer_0/width_16k/average_l0_105
mistral-7b-res-wg:
  config_overrides:
    normalize_activations: constant_norm_rescale
  conversion_func: null
  repo_id: JoshEngels/Mistral-7B-Residual-Stream-SAEs
  saes:
  - {id: blocks.8.hook_resid_pre, path: mistral_7b_layer_8}
listed:
  conversion_func: null
  repo_id: some/saes
  saes:
  - {id: first, path: first, norm_scaling_factor: 0.25}
  - {id: second, path: second, norm_scaling_factor: 0.25}
  - {id: third, path: third, norm_scaling_factor: high}
mntss-clt:
  conversion_func: mntss_clt_layer_transcoder
  repo_id: mntss/clt
  saes:
  - {id: layer_3, path: 3}
temporal-sae:
  conversion_func: temporal
  repo_id: canrager/temporalSAEs
  saes:
  - {id: blocks.12, path: gemma-2-2B/layer_12/temporal}
broken:
  saes: none
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a package sae_lens, which would raise if anybody imported it."""
    folder = tmp_path / "packages" / "sae_lens"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError")
    (folder / "pretrained_saes.yaml").write_text(REGISTRY)
    monkeypatch.syspath_prepend(folder.parent)
    yield folder
    invalidate_caches()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("gpt2-small-res-jb/blocks.0.hook_resid_pre", "jbloom/GPT2-Small-SAEs-Reformatted/blocks.0.hook_resid_pre"),
        (
            "gemma-scope-2b-pt-res/layer_0/width_16k/average_l0_105",
            "google/gemma-scope-2b-pt-res/layer_0/width_16k/average_l0_105",
        ),
        (
            "gemma-scope-2b-pt-res/layer_0/width_16k/average_l0_105@v1",
            "google/gemma-scope-2b-pt-res/layer_0/width_16k/average_l0_105@v1",
        ),
        ("mistral-7b-res-wg/blocks.8.hook_resid_pre", "JoshEngels/Mistral-7B-Residual-Stream-SAEs/mistral_7b_layer_8"),
        ("mntss-clt/layer_3", "mntss/clt/W_enc_3.safetensors"),
    ],
)
def test_where_a_coder_lies(address: str, expected: str) -> None:
    assert find(f"saelens://{address}").address == f"hub://{expected}"


def test_what_the_registry_says_stands_where_params_leave_it_open() -> None:
    centred = find("saelens://gpt2-small-res-jb/blocks.0.hook_resid_pre")
    assert centred.options(Options()).centre is True
    assert centred.options(Options(centre=False)).centre is False
    scaled = find("saelens://mistral-7b-res-wg/blocks.8.hook_resid_pre")
    assert scaled.options(Options()).normalise == "constant_norm"
    assert scaled.options(Options(normalise="none")).normalise == "none"
    assert find("saelens://listed/first").options(Options()).listed_norm_factor == 0.25
    assert find("saelens://gemma-scope-2b-pt-res/layer_0/width_16k/average_l0_105").options(Options()) == Options()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            "saelens://gpt2-small-res-jb",
            "expected an address like saelens://release/sae_id, found saelens://gpt2-small-res-jb",
        ),
        ("saelens://gpt2-res-jb/blocks.0", r"has no release gpt2-res-jb; did you mean gpt2-small-res-jb.*\?"),
        (
            "saelens://gpt2-small-res-jb/blocks.1.hook_resid_pre",
            r"the release gpt2-small-res-jb of .* has no coder blocks.1.hook_resid_pre; did you mean blocks.0.hook_resid_pre\?",
        ),
        (
            "saelens://temporal-sae/blocks.12",
            "is a temporal SAE, which makes a token's latents depend on the tokens before it",
        ),
        ("saelens://broken/x", "expected a release with repo_id and saes at broken in"),
        ("saelens://listed/third", "expected a number above 0 for norm_scaling_factor in .*, found high"),
    ],
)
def test_what_cannot_be_resolved_is_one_sentence(address: str, expected: str) -> None:
    with pytest.raises(GlossaError, match=expected):
        find(address)


def test_without_sae_lens(installed: Path) -> None:
    (installed / "pretrained_saes.yaml").unlink()
    with pytest.raises(
        GlossaError, match=r"is resolved by the registry of sae-lens, which is not installed; pip install sae-lens"
    ):
        coders.load("saelens://gpt2-small-res-jb/blocks.0.hook_resid_pre")


def test_a_coder_is_fetched_and_read_as_the_registry_has_it(hub: Hub, tmp_path: Path) -> None:
    folders.saelens(tmp_path / "first", architecture="standard", normalize_activations="expected_average_only_in")
    folders.saelens(tmp_path / "second", architecture="standard")
    hub.add("some/saes", tmp_path / "first", tmp_path / "second")
    coder = coders.load("saelens://listed/first")
    assert coder.source == "saelens://listed/first"
    assert coder.identity["norm_factor"] == 0.25
    assert coder.identity["repository"] == "some/saes"
    assert (coder.identity["release"], coder.identity["sae_id"]) == ("listed", "first")
    by_hand = coders.load("hub://some/saes/first", Options(norm_factor=0.25))
    assert by_hand.identity["sha256"] == coder.identity["sha256"]
    assert coder.W_enc is not None
    assert by_hand.W_enc is not None
    assert torch.equal(by_hand.W_enc, coder.W_enc)
    assert coders.load("saelens://listed/first", Options(norm_factor=0.5)).identity["norm_factor"] == 0.5
    assert coders.load("saelens://listed/second").identity["norm_factor"] is None, "its config wants none"
