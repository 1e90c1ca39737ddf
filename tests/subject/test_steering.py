"""What the subject predicts and writes with a change inside, against the same computed token by token without anything kept."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.errors import GlossaError
from stages.subject.hookpoints import heard, replaced
from stages.subject.load import Subject
from stages.subject.steering import Edit, Steering
from tests import families

PROMPTS = [[5, 9, 11], [7], [3, 3, 8, 60, 2, 41, 17, 6], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]]
DRAWS = np.random.default_rng(0).random((len(PROMPTS), 6))
BLOCK = {"gpt2": "h.1", "gpt_neox": "layers.1"}


def made(family: str) -> Subject:
    return Subject(families.make(family), family, {}, torch.device("cpu"))


def edit_at(reads: str, writes: str) -> Edit:
    """Adds to what is written a part of what is read, and a direction that differs from prompt to prompt."""
    generator = torch.Generator().manual_seed(3)
    directions = torch.randn(len(PROMPTS), families.WIDTH, generator=generator)

    def change(rows: Tensor, x: Tensor, h: Tensor) -> Tensor:
        return h + 0.5 * x + directions[rows][:, None]

    return Edit(reads, writes, change)


def naive(subject: Subject, number: int, edit: Edit | None, steps: int) -> tuple[list[int], Tensor]:
    """The tokens written behind a prompt, and the log-probabilities behind it: everything computed anew for every token."""
    ids, first = list(PROMPTS[number]), len(PROMPTS[number]) - 1
    predicted: list[Tensor] = []
    for step in range(max(1, steps)):

        def change(one: Edit, read: list[Tensor], hidden: Tensor) -> Tensor:
            changed = one.change(torch.tensor([number]), read[0][:, first:], hidden[:, first:])
            return torch.cat([hidden[:, :first], changed], 1)

        with torch.inference_mode():
            if edit is None:
                logits = subject.model(torch.tensor([ids]), use_cache=False).logits
            else:
                with ExitStack() as stack:
                    for one in (edit, *edit.also):
                        read: list[Tensor] = []
                        stack.enter_context(heard(subject, one.reads, read.append))
                        stack.enter_context(replaced(subject, one.writes, partial(change, one, read)))
                    logits = subject.model(torch.tensor([ids]), use_cache=False).logits
        predicted.append(logits[0, -1].float().log_softmax(-1))
        if steps:
            share = predicted[-1].double().exp().cumsum(0)
            ids.append(int(torch.searchsorted(share, DRAWS[number, step] * share[-1], right=True)))
    return ids[len(PROMPTS[number]) :], predicted[0]


@pytest.mark.parametrize("family", families.SPECIAL)
@pytest.mark.parametrize("how", ["clean", "edited"])
def test_what_is_written_equals_a_naive_recompute(family: str, how: str) -> None:
    subject = made(family)
    block = BLOCK.get(family.partition("-")[0], "layers.1")
    edit = edit_at(block, block) if how == "edited" else None
    written = Steering(subject).write(PROMPTS, DRAWS, edit=edit)
    predicted = Steering(subject).predict(PROMPTS, edit)
    for number in range(len(PROMPTS)):
        tokens, first = naive(subject, number, edit, DRAWS.shape[1])
        assert written[number] == tokens
        assert predicted[number].numpy() == pytest.approx(first.numpy(), abs=5e-5)


def test_a_transcoder_is_read_before_it_is_written() -> None:
    subject = made("llama")
    edit = edit_at("layers.0.mlp.input", "layers.0.mlp")
    written = Steering(subject).write(PROMPTS, DRAWS, edit=edit)
    assert written == [naive(subject, number, edit, DRAWS.shape[1])[0] for number in range(len(PROMPTS))]
    assert written != Steering(subject).write(PROMPTS, DRAWS)


def test_several_places_change_by_what_is_read_at_one() -> None:
    subject = made("llama")
    first, second = edit_at("layers.0.mlp.input", "layers.0.mlp"), edit_at("layers.0.mlp.input", "layers.1.mlp")
    edit = replace(first, also=(second,))
    written = Steering(subject).write(PROMPTS, DRAWS, edit=edit)
    assert written == [naive(subject, number, edit, DRAWS.shape[1])[0] for number in range(len(PROMPTS))]
    predicted = [Steering(subject).predict(PROMPTS, one) for one in (edit, first, second)]
    assert not torch.allclose(predicted[0], predicted[1])
    assert not torch.allclose(predicted[0], predicted[2])


@pytest.mark.parametrize("batch_tokens", [1, 20])
def test_it_does_not_matter_what_goes_through_together(batch_tokens: int) -> None:
    subject, edit = made("llama"), edit_at("layers.0", "layers.0")
    together, apart = Steering(subject), Steering(subject, batch_tokens)
    assert together.write(PROMPTS, DRAWS, edit=edit) == apart.write(PROMPTS, DRAWS, edit=edit)
    clean = together.predict(PROMPTS)
    assert apart.divergences(PROMPTS, clean, edit) == pytest.approx(
        together.divergences(PROMPTS, clean, edit), abs=1e-4
    )


def test_only_the_last_token_is_changed() -> None:
    subject, edit = made("llama"), edit_at("layers.0", "layers.0")
    seen: list[Tensor] = []
    with heard(subject, "layers.1.input", seen.append):
        Steering(subject).predict([PROMPTS[2]])
        Steering(subject).predict([PROMPTS[2]], edit)
    clean, edited = seen
    assert torch.equal(clean[:, :-1], edited[:, :-1])
    assert not torch.allclose(clean[:, -1], edited[:, -1])


def test_the_divergence_is_that_of_the_edited_from_the_clean() -> None:
    subject, edit = made("llama"), edit_at("layers.1", "layers.1")
    steering = Steering(subject)
    clean, edited = steering.predict(PROMPTS), steering.predict(PROMPTS, edit)
    by_hand = [
        sum(q.exp().item() * (q - p).item() for p, q in zip(*two, strict=True))
        for two in zip(clean, edited, strict=True)
    ]
    assert steering.divergences(PROMPTS, clean, edit) == pytest.approx(by_hand, abs=1e-4)
    assert min(by_hand) > 0.01
    nothing = Edit("layers.1", "layers.1", lambda rows, x, h: h)
    assert steering.divergences(PROMPTS, clean, nothing) == pytest.approx([0] * len(PROMPTS), abs=1e-6)


def test_a_text_ends_before_what_ends_it() -> None:
    subject = made("llama")
    whole = Steering(subject).write(PROMPTS, DRAWS)
    end = whole[0][2]
    ended = Steering(subject).write(PROMPTS, DRAWS, ends=[end])
    assert ended == [tokens[: tokens.index(end)] if end in tokens else tokens for tokens in whole]
    assert len(ended[0]) <= 2


def test_draws_hit_tokens_as_often_as_they_are_likely() -> None:
    subject = made("llama")
    n = 4000
    written = Steering(subject).write([PROMPTS[0]] * n, np.random.default_rng(1).random((n, 1)))
    counts = np.bincount([tokens[0] for tokens in written], minlength=families.WORDS) / n
    expected = Steering(subject).predict([PROMPTS[0]])[0].exp().numpy()
    assert np.abs(counts - expected).max() < 0.03


def test_memory_that_runs_out_halves_the_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = made("llama")
    expected = Steering(subject).predict(PROMPTS)
    forward, most = subject.model.forward, 1

    def scarce(*args: Any, input_ids: Tensor, **more: Any) -> Any:
        if len(input_ids) > most:
            raise torch.OutOfMemoryError("no memory left")
        return forward(*args, input_ids=input_ids, **more)

    steering = Steering(subject)
    monkeypatch.setattr(subject.model, "forward", scarce)
    assert steering.predict(PROMPTS).numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert "out of memory" in capsys.readouterr().err
    most = 0
    with pytest.raises(GlossaError, match=r"^expected memory for \d+ tokens through the subject llama"):
        steering.predict(PROMPTS)


def test_a_place_that_gives_no_rows_of_tokens_is_one_sentence() -> None:
    subject = made("llama")
    flat = Edit("layers.0.mlp", "layers.0.mlp", lambda rows, x, h: h)
    subject.modules["layers.0.mlp"].register_forward_hook(lambda module, args, output: output.flatten(0, 1))
    with pytest.raises(GlossaError, match=r"^layers.0.mlp of the subject llama should give \[rows, tokens, width\]"):
        Steering(subject).predict([[1, 2]], flat)
