"""``saelens://release/sae_id`` by the registry that sae-lens brings, against what sae-lens itself makes of it."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import torch

from stages import coders
from stages.coders import saelens_registry
from stages.errors import GlossaError
from stages.hub import ADDRESS
from stages.subject.hookpoints import resolve
from stages.subject.load import Subject
from tests import families
from tests.coders.registry import layouts
from tests.coders.registry.layouts import Release
from tests.coders.registry.peer import theirs
from tests.hub_server import Hub

pytest.importorskip("sae_lens")
from sae_lens.loading import pretrained_sae_loaders as loaders
from sae_lens.loading.pretrained_saes_directory import (
    PretrainedSAELookup,
    get_norm_scaling_factor,
    get_pretrained_saes_directory,
)

pytestmark = pytest.mark.filterwarnings("ignore")
RELEASES = [release for release in layouts.releases() if release.loader != saelens_registry.TEMPORAL]
FAMILIES = {
    "gemma-2-": "gemma2",
    "gemma-2b": "gemma",
    "gemma-3-": "gemma3_text",
    "gpt-oss-": "gpt_oss",
    "gpt2-": "gpt2",
    "llama-": "llama",
    "mistral-": "mistral",
    "pythia-": "gpt_neox",
    "qwen2.5-": "qwen2",
    "qwen3": "qwen3",  # and Qwen 3.5, whose coders read the residual stream alone
}
"""Of models, by what is in their names."""
FORMATS = {
    None: ("saelens", "saelens_old"),
    "connor_rob_hook_z": ("plain",),
    "deepseek_r1": ("plain",),
    "dictionary_learning_1": ("dictionary_learning",),
    "gemma_2": ("gemma_scope",),
    "gemma_2_transcoder": ("gemma_scope",),
    "gemma_3": ("gemma_scope_2",),
    "goodfire": ("plain",),
    "llama_scope": ("llama_scope",),
    "llama_scope_r1_distill": ("llamascopium",),
    "mntss_clt_layer_transcoder": ("circuit_tracer",),
    "mwhanna_transcoder": ("circuit_tracer",),
    "qwen_scope": ("qwen_scope",),
}
"""By the loader that the registry names."""


@functools.cache
def directory() -> dict[str, PretrainedSAELookup]:
    return get_pretrained_saes_directory()


@functools.cache
def model(family: str) -> Subject:
    """Of as many layers as any coder reads."""
    return Subject(families.make(family, num_hidden_layers=51), family, {}, torch.device("cpu"))


def test_every_coder_resolves_to_what_sae_lens_would_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saelens_registry, "_release", functools.cache(saelens_registry._release))
    found, temporal = 0, 0
    for name, release in directory().items():
        for sae_id, path in release.saes_map.items():
            address = f"saelens://{name}/{sae_id}"
            if release.conversion_func == saelens_registry.TEMPORAL:
                with pytest.raises(GlossaError, match=f"^{re.escape(address)} is a temporal SAE"):
                    saelens_registry.find(address)
                temporal += 1
                continue
            coder = saelens_registry.find(address)
            place = ADDRESS.fullmatch(coder.address)
            assert place is not None, coder.address
            assert (place["repository"], place["revision"]) == (release.repo_id, None)
            if release.conversion_func == "mntss_clt_layer_transcoder":
                path = f"W_enc_{path}.safetensors"
            assert place["inside"] == path
            assert coder.norm_factor == get_norm_scaling_factor(name, sae_id)
            found += 1
    assert (found, temporal) == (13_854, 3)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_what_it_resolves_to_reads_and_writes_where_sae_lens_says(tmp_path: Path, hub: Hub, release: Release) -> None:
    """One coder of every layout, fetched from a hub."""
    for number, layout in enumerate(release.layouts):
        folder = tmp_path / str(number)
        layouts.write(release, layout, folder)
        hub.add(release.repository, folder / release.repository, inside=".")
        address = f"saelens://{release.name}/{layout['id']}"
        embedding = layouts.options(release, layout).norm_factor
        said = coders.Options(norm_factor=embedding, centre=layouts.options(release, layout).centre)
        coder = coders.load(address, said)
        assert coder.identity["format"] in FORMATS[release.loader]
        assert (coder.identity["repository"], coder.identity["release"]) == (release.repository, release.name)
        metadata = theirs(loaders, release, layout, folder).cfg.metadata
        called = directory()[release.name].model.rpartition("/")[2].lower().removeprefix("deepseek-r1-distill-")
        subject = model(next(family for part, family in FAMILIES.items() if part in called))
        assert coder.hookpoint is not None
        expected = metadata.hf_hook_name or metadata.hook_name
        assert resolve(subject, coder.hookpoint).name == resolve(subject, expected).name
        written = getattr(metadata, "hook_name_out", None) or expected
        place = coder.writes[0].hookpoint if coder.writes else coder.reconstructs or coder.hookpoint
        assert resolve(subject, place).name == resolve(subject, written).name
