"""TransformerLens' names, checked against quantities that the tests compute from the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stages.errors import GlossaError
from stages.subject import sites
from stages.subject.hookpoints import activations
from stages.subject.load import Subject
from tests import families

IDS = torch.arange(24).reshape(2, 12) + 3
GEMMAS = {"gemma", "gemma2", "gemma3_text"}
POST_NORMED = {"gemma2", "gemma3_text"}


BY_HAND = (
    "gpt2",
    "gpt_neox",
    "gpt_neox-sequential",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "gemma",
    "gemma2",
    "gemma3_text",
)
"""The others have the same modules, or are compared with TransformerLens in tests/peers."""
NAMED = [name for name in families.SPECIAL | families.MORE if name.partition("-")[0] in sites.FAMILIES]


@pytest.fixture(params=BY_HAND)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def subject(family: str) -> Subject:
    return Subject(families.make(family), family, {}, torch.device("cpu"))


class Read:
    """What every named place gives, by the name without ``blocks.`` and the number of the block."""

    def __init__(self, subject: Subject) -> None:
        names = [name for name, place in subject.places.items() if not isinstance(place, str)]
        self.of = activations(subject, names, IDS)

    def __call__(self, site: str, block: int = 1) -> Tensor:
        return self.of[f"blocks.{block}.{site}"]


def block(subject: Subject, number: int = 1) -> Any:
    base: Any = subject.base
    return (base.h if hasattr(base, "h") else base.layers)[number]


def standardised(x: Tensor, layer_norm: bool, epsilon: float) -> Tensor:
    """A LayerNorm or an RMSNorm without gain and bias."""
    x = x.double()
    if layer_norm:
        x = x - x.mean(-1, keepdim=True)
    return x / (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()


def normed(norm: Any, x: Tensor, family: str) -> Tensor:
    """``norm`` of ``x``, by hand."""
    layer_norm = family.startswith("gpt")
    epsilon = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
    hat = standardised(x, layer_norm, epsilon)
    if layer_norm:
        return hat * norm.weight.double() + norm.bias.double()
    return hat * (norm.weight.double() + (family in GEMMAS))


def linear(module: Any, x: Tensor) -> Tensor:
    """``module`` of ``x``, by hand; GPT-2 keeps its matrices the other way round."""
    weight = module.weight if type(module).__name__ == "Conv1D" else module.weight.T
    y = x.double() @ weight.double()
    return y if module.bias is None else y + module.bias.double()


def same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), atol=2e-5)


def test_embeddings_are_what_enters_the_first_block(subject: Subject, family: str) -> None:
    read = Read(subject)
    expected = subject.model.get_input_embeddings().weight[IDS] * (
        4 if family in GEMMAS else 1
    )  # the root of the width
    assert same(read.of["hook_embed"], expected)
    if family == "gpt2":
        expected = expected + subject.model.transformer.wpe.weight[: IDS.shape[1]]
    assert same(read("hook_resid_pre", 0), expected)


def test_the_residual_stream_is_read_between_and_behind_the_blocks(subject: Subject, family: str) -> None:
    read = Read(subject)
    states = subject.model(input_ids=IDS, output_hidden_states=True).hidden_states
    assert same(read("hook_resid_post", 0), states[1])
    assert same(read("hook_resid_pre", 1), states[1])
    norm = next(
        getattr(subject.base, name) for name in ("ln_f", "final_layer_norm", "norm") if hasattr(subject.base, name)
    )
    assert same(normed(norm, read("hook_resid_post"), family), states[2]), "the last state is behind the final norm"


def test_what_attention_and_mlp_add_makes_the_residual_stream(subject: Subject, family: str) -> None:
    read = Read(subject)
    if family == "gpt_neox":
        assert same(read("hook_resid_pre") + read("hook_attn_out") + read("hook_mlp_out"), read("hook_resid_post"))
        return
    assert same(read("hook_resid_pre") + read("hook_attn_out"), read("hook_resid_mid"))
    assert same(read("hook_resid_mid") + read("hook_mlp_out"), read("hook_resid_post"))


def test_heads_and_neurons_are_read_before_their_projections(subject: Subject, family: str) -> None:
    read, layer = Read(subject), block(subject)
    attention = getattr(layer, "self_attn", None) or getattr(layer, "attn", None) or layer.attention
    output = getattr(attention, "o_proj", None) or getattr(attention, "c_proj", None) or attention.dense
    down = getattr(layer.mlp, "down_proj", None) or getattr(layer.mlp, "c_proj", None) or layer.mlp.dense_4h_to_h
    attended, mapped = linear(output, read("attn.hook_z")), linear(down, read("mlp.hook_post"))
    if family in POST_NORMED:
        attended = normed(layer.post_attention_layernorm, attended, family)
        mapped = normed(layer.post_feedforward_layernorm, mapped, family)
    assert same(attended, read("hook_attn_out"))
    assert same(mapped, read("hook_mlp_out"))
    assert read("attn.hook_z").shape[-1] == families.HEADS * (6 if "head_dim" in families.SPECIAL[family] else 8)
    assert read("mlp.hook_post").shape[-1] == families.NEURONS


def test_the_mlp_reads_the_normed_stream(subject: Subject, family: str) -> None:
    read, layer = Read(subject), block(subject)
    name = {"gpt2": "ln_2"} | dict.fromkeys(POST_NORMED, "pre_feedforward_layernorm")
    norm = getattr(layer, name.get(family, "post_attention_layernorm"))
    stream = read("hook_resid_pre" if family == "gpt_neox" else "hook_resid_mid")
    assert same(normed(norm, stream, family), read("mlp.hook_in"))
    mlp = layer.mlp
    if hasattr(mlp, "gate_proj"):
        active = mlp.act_fn(linear(mlp.gate_proj, read("mlp.hook_in"))) * linear(mlp.up_proj, read("mlp.hook_in"))
    else:
        first = mlp.c_fc if family == "gpt2" else mlp.dense_h_to_4h
        active = mlp.act(linear(first, read("mlp.hook_in")))
    assert same(active, read("mlp.hook_post"))


def test_normalized_is_before_the_gain(subject: Subject, family: str) -> None:
    read = Read(subject)
    path, part = subject.places["blocks.1.mlp.hook_in"]
    assert part == "output"
    hat = activations(subject, [f"{path}.normalized"], IDS)[f"{path}.normalized"]
    norm: Any = subject.modules[path]
    if family.startswith("gpt"):
        assert same(hat * norm.weight + norm.bias, read("mlp.hook_in"))
        assert same(hat.mean(-1), torch.zeros(IDS.shape))
        with pytest.raises(GlossaError, match=r"has no hookpoint blocks.1.ln2.hook_normalized: .* folded") as caught:
            activations(subject, ["blocks.1.ln2.hook_normalized"], IDS)
        assert f"say {path}.normalized (before) or {path} (behind)" in str(caught.value)
        return
    assert torch.equal(read("ln2.hook_normalized"), hat)
    assert same(hat * (norm.weight + (family in GEMMAS)), read("mlp.hook_in"))
    assert same(hat.pow(2).mean(-1), torch.ones(IDS.shape))


def test_normalized_keeps_the_type_of_the_model() -> None:
    subject = Subject(families.make("gemma2").to(torch.bfloat16), "gemma2", {}, torch.device("cpu"))
    site = "blocks.0.ln2.hook_normalized"
    assert activations(subject, [site], IDS)[site].dtype == torch.bfloat16


def test_parallel_blocks_have_no_middle() -> None:
    subject = Subject(families.make("gpt_neox"), "pythia", {}, torch.device("cpu"))
    with pytest.raises(GlossaError) as caught:
        activations(subject, ["blocks.0.hook_resid_mid"], IDS)
    assert str(caught.value) == (
        "the subject pythia has no hookpoint blocks.0.hook_resid_mid: its attention and its MLP read the residual stream side by "
        "side, so there is no middle"
    )


@pytest.mark.parametrize("family", NAMED)
def test_every_family_names_the_same_places_and_has_them(family: str) -> None:
    subject = Subject(families.make(family), family, {}, torch.device("cpu"))
    names = sites.LLAMA.keys()
    assert sites.FAMILIES[family.partition("-")[0]].keys() == names
    assert len(subject.places) == 1 + families.BLOCKS * (len(names) - 1)
    assert all(isinstance(place, str) or place[0] in subject.modules for place in subject.places.values())
    read = Read(subject).of
    for block in range(families.BLOCKS):
        at = f"blocks.{block}"
        if family.startswith("gemma3n"):
            continue  # which has no one residual stream
        middle = read.get(f"{at}.hook_resid_mid", read[f"{at}.hook_resid_pre"] + read[f"{at}.hook_attn_out"])
        if not family.startswith("gemma4"):  # which scales what a block gives
            assert same(middle + read[f"{at}.hook_mlp_out"], read[f"{at}.hook_resid_post"])


@pytest.mark.parametrize(
    ("family", "mixture", "dense"), [("deepseek_v3", 1, 0), ("deepseek_v2", 1, 0), ("qwen3_moe-dense", 0, 1)]
)
def test_blocks_without_experts_have_neurons(family: str, mixture: int, dense: int) -> None:
    subject = Subject(families.make(family), family, {}, torch.device("cpu"))
    read, layer = Read(subject), block(subject, dense)
    gate = linear(layer.mlp.gate_proj, read("mlp.hook_in", dense))
    assert same(gate, read("mlp.hook_pre", dense))
    assert same(
        torch.nn.functional.silu(gate) * linear(layer.mlp.up_proj, read("mlp.hook_in", dense)),
        read("mlp.hook_post", dense),
    )
    for name in ("mlp.hook_pre", "mlp.hook_post"):
        with pytest.raises(GlossaError, match=rf"mixture of experts, .*; hook layers\.{mixture}\.mlp, what all"):
            activations(subject, [f"blocks.{mixture}.{name}"], IDS)


def test_where_the_residual_stream_is_several_places_inside_blocks_are_named() -> None:
    subject = Subject(families.make("gemma3n_text"), "gemma", {}, torch.device("cpu"))
    read, layer = Read(subject), block(subject)
    assert same(linear(layer.self_attn.o_proj, read("attn.hook_z")), read("attn.hook_out"))
    assert same(linear(layer.mlp.gate_proj, read("mlp.hook_in")), read("mlp.hook_pre"))
    assert same(linear(layer.mlp.down_proj, read("mlp.hook_post")), read("mlp.hook_out"))
    with pytest.raises(GlossaError, match=r"hook_resid_post: its residual stream is several side by side"):
        activations(subject, ["blocks.1.hook_resid_post"], IDS)
    with pytest.raises(
        GlossaError, match=r"say layers\.1\.mlp \(before\) or layers\.1\.post_feedforward_layernorm \(behind\)"
    ):
        activations(subject, ["blocks.1.hook_mlp_out"], IDS)


def test_linear_attention_and_mixtures_of_experts_say_what_they_lack() -> None:
    qwen = Subject(families.make("qwen3_5_text"), "qwen", {}, torch.device("cpu"))
    assert activations(qwen, ["blocks.0.hook_attn_out"], IDS)["blocks.0.hook_attn_out"].shape[-1] == families.WIDTH
    with pytest.raises(GlossaError, match=r"blocks\.0\.attn\.hook_z: its attention is linear in this layer"):
        activations(qwen, ["blocks.0.attn.hook_z"], IDS)
    mixtral = Subject(families.make("mixtral"), "mixtral", {}, torch.device("cpu"))
    with pytest.raises(GlossaError, match=r"is a mixture of experts, .*; hook layers\.1\.mlp, what all"):
        activations(mixtral, ["blocks.1.mlp.hook_post"], IDS)


def test_functional_norms_agree_with_ours() -> None:
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    assert same(standardised(x, True, 1e-5), functional.layer_norm(x, (16,), eps=1e-5))
    assert same(standardised(x, False, 1e-5), functional.rms_norm(x, (16,), eps=1e-5))
