from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from stages.errors import GlossaError
from stages.subject.hookpoints import activations, name_of, replaced, resolve, split, width
from stages.subject.load import Subject

IDS = torch.arange(24).reshape(2, 12)


class Recorder:
    """Records the outputs of modules during full forward passes."""

    def __init__(self, subject: Subject, names: list[str]) -> None:
        self.outputs: dict[str, Any] = {}
        modules = dict(subject.base.named_modules())
        self.handles = [modules[name].register_forward_hook(self._hook(name)) for name in names]

    def _hook(self, name: str) -> Any:
        def hook(module: Any, args: Any, output: Any) -> None:
            self.outputs[name] = output

        return hook

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()


def full(subject: Subject, name: str) -> Tensor:
    with Recorder(subject, [name]) as recorder, torch.no_grad():
        subject.model(input_ids=IDS, use_cache=False)
    output = recorder.outputs[name]
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize(
    "hookpoint", ["embed_tokens", "layers.0", "layers.0.mlp", "layers.1.self_attn", "layers.1.mlp.up_proj", "norm"]
)
def test_outputs_equal_those_of_a_full_forward_pass(subject: Subject, hookpoint: str) -> None:
    read = activations(subject, [hookpoint], IDS)
    assert read.keys() == {hookpoint}
    assert read[hookpoint].shape[:2] == IDS.shape
    assert torch.equal(read[hookpoint], full(subject, hookpoint))


def test_several_places_stand_side_by_side(subject: Subject) -> None:
    both = "model.layers.1.output + blocks.0.hook_mlp_out"
    read = activations(subject, [both, "layers.1"], IDS)
    assert torch.equal(read[both], torch.cat([full(subject, "layers.1"), full(subject, "layers.0.mlp")], -1))
    assert torch.equal(read["layers.1"], full(subject, "layers.1"))
    assert name_of(subject, both) == "layers.1 + layers.0.mlp"
    assert width(subject, both) == 2 * full(subject, "layers.1").shape[-1]
    assert split("layers.1+layers.0") == ["layers.1", "layers.0"]


@pytest.mark.parametrize(
    ("hookpoint", "expected"),
    [
        (
            "layers.0 + layers.0",
            "expected places of a model with a + between them, each once, found 'layers.0 + layers.0'",
        ),
        ("layers.0 + blocks.0.hook_resid_post", "each once, found 'layers.0 + layers.0'"),
        ("layers.0 +", "expected places of a model with a + between them"),
        ("layers.0 + layers.9", "has no hookpoint layers.9"),
    ],
)
def test_several_places_that_are_not(subject: Subject, hookpoint: str, expected: str) -> None:
    with pytest.raises(GlossaError, match=re.escape(expected)):
        activations(subject, [hookpoint], IDS)


def test_where_one_place_is_wanted_several_are_a_mistake(subject: Subject) -> None:
    with pytest.raises(
        GlossaError, match=r"expected one place of the subject .*, found several \(layers.0 \+ layers.1\); name one"
    ):
        resolve(subject, "layers.0 + layers.1")


def test_of_a_tuple_the_first_element_is_read(subject: Subject) -> None:
    with Recorder(subject, ["layers.1.self_attn"]) as recorder, torch.no_grad():
        subject.model(input_ids=IDS)
    assert isinstance(recorder.outputs["layers.1.self_attn"], tuple)
    assert activations(subject, ["layers.1.self_attn"], IDS)["layers.1.self_attn"].shape == (2, 12, 16)


def test_several_hookpoints_are_read_in_one_pass_in_any_order(subject: Subject) -> None:
    hookpoints = ["layers.1", "layers.0.mlp", "layers.0", "layers.0"]
    with Recorder(subject, ["layers.0"]) as recorder:
        read = activations(subject, hookpoints, IDS)
    assert "layers.0" in recorder.outputs
    assert read.keys() == set(hookpoints)
    for hookpoint in read:
        assert torch.equal(read[hookpoint], full(subject, hookpoint))


@pytest.mark.parametrize(
    ("hookpoint", "later"),
    [("layers.0", ["layers.1", "norm"]), ("layers.0.self_attn", ["layers.0.mlp", "layers.1"]), ("layers.1", ["norm"])],
)
def test_nothing_behind_the_last_hookpoint_is_called(subject: Subject, hookpoint: str, later: list[str]) -> None:
    with Recorder(subject, later) as recorder:
        activations(subject, ["embed_tokens", hookpoint], IDS)
    assert recorder.outputs == {}


def hooks(subject: Subject) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in subject.base.modules())


def test_no_hook_is_left_behind(subject: Subject) -> None:
    activations(subject, ["layers.0", "layers.1.input", "norm.normalized"], IDS)
    with replaced(subject, "layers.0", torch.zeros_like), replaced(subject, "layers.1.mlp.input", torch.zeros_like):
        assert hooks(subject) == 2
    with pytest.raises(GlossaError):
        activations(subject, ["layers.0", "layers"], IDS)
    assert hooks(subject) == 0


@pytest.mark.parametrize(
    ("hookpoint", "name"),
    [
        ("layers.1", "layers.1"),
        ("layers.1.output", "layers.1"),
        ("model.layers.1.output", "layers.1"),
        ("model.language_model.layers.1", "layers.1"),
        ("language_model.model.layers.1.mlp.input", "layers.1.mlp.input"),
        ("blocks.1.hook_resid_post", "layers.1"),
        ("blocks.1.ln2.hook_normalized", "layers.1.post_attention_layernorm.normalized"),
        ("model.norm.normalized", "norm.normalized"),
    ],
)
def test_a_place_may_be_named_in_several_ways(subject: Subject, hookpoint: str, name: str) -> None:
    site = resolve(subject, hookpoint)
    assert site.name == name
    assert site.module is subject.modules[site.path]


def test_a_module_that_is_called_output_is_itself(subject: Subject) -> None:
    model = type("Model", (torch.nn.Module,), {})()
    model.output = torch.nn.Linear(2, 2)
    model.output.input = torch.nn.Identity()
    model.config = subject.base.config
    odd = Subject(SimpleNamespace(base_model=model), "odd", {}, torch.device("cpu"))
    assert (resolve(odd, "output").path, resolve(odd, "output").part) == ("output", "output")
    assert (resolve(odd, "output.input").path, resolve(odd, "output.input").part) == ("output.input", "output")
    assert (resolve(odd, "output.input.input").path, resolve(odd, "output.input.input").part) == (
        "output.input",
        "input",
    )


def test_inputs_are_what_the_modules_are_given(subject: Subject) -> None:
    read = activations(
        subject,
        ["layers.0.input", "layers.1.self_attn.input", "layers.1.mlp.input", "layers.1.mlp.down_proj.input"],
        IDS,
    )
    assert torch.equal(read["layers.0.input"], full(subject, "embed_tokens"))
    assert torch.equal(read["layers.1.self_attn.input"], full(subject, "layers.1.input_layernorm"))  # given by keyword
    assert torch.equal(read["layers.1.mlp.input"], full(subject, "layers.1.post_attention_layernorm"))
    assert read["layers.1.mlp.down_proj.input"].shape == (2, 12, 32)


def test_two_names_of_one_place_are_both_answered(subject: Subject) -> None:
    read = activations(subject, ["layers.0", "blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"], IDS)
    assert len(read) == 3
    assert torch.equal(read["layers.0"], read["blocks.0.hook_resid_post"])
    assert torch.equal(read["layers.0"], read["blocks.1.hook_resid_pre"])


def test_reading_an_input_stops_before_its_module(subject: Subject) -> None:
    with Recorder(subject, ["layers.1.mlp"]) as recorder:
        activations(subject, ["layers.1.mlp.input"], IDS)
    assert recorder.outputs == {}


@pytest.mark.parametrize("hookpoint", ["layers.0", "layers.1.input", "layers.0.self_attn", "layers.0.self_attn.input"])
def test_what_is_replaced_by_itself_changes_nothing(subject: Subject, hookpoint: str) -> None:
    with torch.inference_mode():
        expected = subject.model(input_ids=IDS).logits
        with replaced(subject, hookpoint, torch.clone):
            assert torch.equal(subject.model(input_ids=IDS).logits, expected)
        with replaced(subject, hookpoint, torch.zeros_like):
            assert not torch.allclose(subject.model(input_ids=IDS).logits, expected)


def test_replaced_values_are_what_later_modules_read(subject: Subject) -> None:
    steered = torch.randn(2, 12, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        with replaced(subject, "layers.0", lambda x: steered):
            assert torch.equal(activations(subject, ["layers.1.input"], IDS)["layers.1.input"], steered)
        with replaced(subject, "layers.1.mlp", lambda x: 0 * x):  # the block adds what attention gives, and no more
            read = activations(subject, ["blocks.1.hook_resid_mid", "layers.1"], IDS)
            assert torch.equal(read["blocks.1.hook_resid_mid"], read["layers.1"])
        with replaced(subject, "layers.1.self_attn.input", lambda x: 0 * x):
            read = activations(subject, ["layers.1.input", "blocks.1.hook_resid_mid"], IDS)
            assert torch.equal(read["layers.1.input"], read["blocks.1.hook_resid_mid"])


def test_nothing_stands_in_for_what_no_module_gives(subject: Subject) -> None:
    with (
        pytest.raises(
            GlossaError, match=r"nothing can stand in for norm\.normalized of the subject .*; take norm instead"
        ),
        replaced(subject, "norm.normalized", torch.clone),
    ):
        pass


@pytest.mark.parametrize(
    ("hookpoint", "hint"),
    [
        ("layers.2", "did you mean layers.1 or layers.0 or layers?"),
        ("layers.1.mpl", "did you mean layers.1.mlp"),
        ("layers.1.mpl.input", "did you mean layers.1.mlp"),
        ("blocks.2.hook_resid_post", "did you mean blocks.1.hook_resid_post or blocks.0.hook_resid_post"),
        ("blocks.1.resid_post", "did you mean blocks.1.hook_resid_post"),
        ("", "known are embed_tokens, layers, "),
    ],
)
def test_an_unknown_hookpoint_names_the_nearest(subject: Subject, hookpoint: str, hint: str) -> None:
    with pytest.raises(GlossaError) as caught:
        resolve(subject, hookpoint)
    assert str(caught.value).startswith(f"the subject {subject.name} has no hookpoint {hookpoint}; {hint}")


def test_a_module_that_is_never_called_is_a_mistake(subject: Subject) -> None:
    with pytest.raises(GlossaError, match="never reads layers; hook a module inside it"):
        activations(subject, ["layers.0", "layers"], IDS)


@pytest.mark.parametrize(
    ("hookpoint", "found"), [("layers.0.input.normalized", None), ("layers.1.mlp.normalized", "LlamaMLP")]
)
def test_only_norms_normalize(subject: Subject, hookpoint: str, found: str | None) -> None:
    with pytest.raises(GlossaError) as caught:
        resolve(subject, hookpoint)
    expected = (
        "has no hookpoint"
        if found is None
        else f"should end in .normalized only behind a LayerNorm or RMSNorm, .* {found}"
    )
    assert re.search(expected, str(caught.value))


def test_an_input_that_is_no_tensor_is_a_mistake(subject: Subject) -> None:
    expected = r"embed_tokens\.input of .* should give a tensor, found NoneType; hook another module"
    with replaced(subject, "embed_tokens.input", torch.clone), pytest.raises(GlossaError, match=expected):
        subject.modules["embed_tokens"](input=IDS)


def test_a_family_without_a_table_takes_module_paths_alone() -> None:
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, ffn_dim=24, max_position_embeddings=32,
        word_embed_proj_dim=16,
    )  # fmt: skip
    subject = Subject(OPTForCausalLM(config).eval(), "opt", {}, torch.device("cpu"))
    assert activations(subject, ["model.decoder.layers.1"], IDS % 32)["model.decoder.layers.1"].shape == (2, 12, 16)
    with pytest.raises(GlossaError, match=r"names of TransformerLens are known for gpt2, .*, so give a module path"):
        resolve(subject, "blocks.1.hook_resid_post")
