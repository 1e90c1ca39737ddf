"""Our names of places against TransformerBridge, on tiny random weights of every family."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stages.coders import folding
from stages.subject import sites
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from tests import families
from tests.coders.test_folding import coder

pytest.importorskip("transformer_lens")
from tokenizers import Tokenizer, models
from transformer_lens.model_bridge import TransformerBridge
from transformers import PreTrainedTokenizerFast

IDS = torch.arange(24).reshape(2, 12) + 3
NO_TEXT_ALONE = "gemma3n_text"
"""Of which it has a bridge only for the model that sees and hears as well."""
FAMILIES = [
    name
    for name in families.SPECIAL | families.MORE
    if name.partition("-")[0] in sites.FAMILIES and name != NO_TEXT_ALONE
]
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]


def bridge_of(model: Any, folder: Path) -> Any:
    """A bridge to a copy of ``model``, whose tokenizer is a list of numbers."""
    model = copy.deepcopy(model)
    model.set_attn_implementation(
        "eager"
    )  # which it sets itself where it loads a model; latent attention lacks its causal mask otherwise
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({str(i): i for i in range(families.WORDS)}, unk_token="0"))
    PreTrainedTokenizerFast(tokenizer_object=words, bos_token="0", eos_token="0", pad_token="0").save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return TransformerBridge.boot_transformers(str(folder), hf_model=model, tokenizer=tokenizer, device="cpu")


def cached(bridge: Any) -> dict[str, Tensor]:
    with torch.inference_mode():
        return dict(bridge.run_with_cache(IDS)[1].items())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_name_that_resolves_is_the_same_tensor(tmp_path: Path, family: str) -> None:
    subject = Subject(families.make(family), family, {}, torch.device("cpu"))
    theirs = cached(bridge_of(subject.model, tmp_path))
    names = [name for name, place in subject.places.items() if not isinstance(place, str)]
    ours = activations(subject, names, IDS)
    compared = {name for name in names if name in theirs}
    for name in compared:
        expected = theirs[name].reshape(ours[name].shape)  # heads lie side by side with us
        assert torch.allclose(ours[name], expected, atol=1e-5), name
    assert len(compared) >= 13 * families.BLOCKS, sorted(set(names) - compared)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_what_a_processed_subject_lacks(tmp_path: Path, family: str) -> None:
    """SAELens before 3.19.2 read what TransformerLens makes of a model by default."""
    subject = Subject(families.make(family), family, {}, torch.device("cpu"))
    bridge = bridge_of(subject.model, tmp_path)
    bridge.enable_compatibility_mode(disable_warnings=True)
    theirs = cached(bridge)
    for site in ("hook_resid_pre", "hook_resid_post", "hook_attn_out", "hook_mlp_out"):
        name = f"blocks.1.{site}"
        ours = activations(subject, [name], IDS)[name]
        assert not torch.allclose(ours, theirs[name], atol=1e-3), site
        assert torch.allclose(ours - ours.mean(-1, keepdim=True), theirs[name], atol=1e-4), site
    found = coder("blocks.1.attn.hook_z")
    constant = folding.settled(found, subject).b_pre - found.b_pre
    ours = activations(subject, ["blocks.1.attn.hook_z"], IDS)["blocks.1.attn.hook_z"]
    assert constant.norm() > 0.1
    assert torch.allclose(ours - constant, theirs["blocks.1.attn.hook_z"].reshape(ours.shape), atol=1e-4)
