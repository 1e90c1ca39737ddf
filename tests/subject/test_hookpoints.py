from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stages.errors import GlossaError
from stages.subject.hookpoints import activations, find
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


def test_no_hook_is_left_behind(subject: Subject) -> None:
    activations(subject, ["layers.0"], IDS)
    assert not any(module._forward_hooks for module in subject.base.modules())


@pytest.mark.parametrize(
    ("hookpoint", "hint"),
    [
        ("layers.2", "did you mean layers.1 or layers.0 or layers?"),
        ("model.layers.1", "did you mean layers.1"),
        ("layers.1.mpl", "did you mean layers.1.mlp"),
        ("", "known are embed_tokens, layers, "),
    ],
)
def test_an_unknown_hookpoint_names_the_nearest(subject: Subject, hookpoint: str, hint: str) -> None:
    with pytest.raises(GlossaError) as caught:
        find(subject, hookpoint)
    assert str(caught.value).startswith(f"the subject {subject.name} has no hookpoint {hookpoint}; {hint}")


def test_a_module_that_is_never_called_is_a_mistake(subject: Subject) -> None:
    with pytest.raises(GlossaError, match="never reads layers; hook a module inside it"):
        activations(subject, ["layers.0", "layers"], IDS)
