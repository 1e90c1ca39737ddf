"""The subject with a change inside it from the last token of a prompt on: what it predicts there, and what it goes on to write.

Prompts of different lengths go through together, the longest first, filled up on the left so that their last tokens stand in one
column. What goes through with a prompt does not matter to it but for rounding. Keys and values are kept while a text is written, where
every token is computed once, with the change; nothing is kept from one text, or one change, to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.errors import GlossaError
from stages.machine.memory import Headroom
from stages.subject.hookpoints import heard, replaced, resolve
from stages.subject.load import Subject

LOGITS = 2**27
"""Log-probabilities that may be kept at once: half a gigabyte."""

Change = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Edit:
    """A change of what a hookpoint gives, to every prompt its own."""

    reads: str
    """The hookpoint that the change goes by; it comes no later in the forward pass than ``writes``."""
    writes: str
    change: Change
    """(numbers of the prompts [rows], what ``reads`` gives at tokens [rows, n, width], what ``writes`` gives there) -> what
    stands in for the latter, of the same shape."""
    also: tuple[Edit, ...] = ()
    """Changes of other places that are made in the same forward pass."""


class Steering:
    """Runs a subject, as many prompts at once as memory holds."""

    def __init__(self, subject: Subject, batch_tokens: int | None = None):
        self.subject = subject
        remedy = "use a lower subject.dtype or a device with more memory"
        self._room = Headroom(subject.device, batch_tokens, f"the subject {subject.name}", remedy)
        self._vocabulary_size = subject.model.config.get_text_config().vocab_size
        self._takes = signature(subject.model.forward).parameters.keys() & {"position_ids", "logits_to_keep"}

    @property
    def ends(self) -> set[int]:
        """Tokens with which the subject ends what it writes, as its config and the one of its generation say; chat models have several."""
        model = self.subject.model
        said = (model.config.get_text_config().eos_token_id, getattr(model.generation_config, "eos_token_id", None))
        return {token for one in said for token in (one if isinstance(one, list) else [one]) if token is not None}

    @property
    def most_prompts(self) -> int:
        """Prompts of which the predictions may be kept at once."""
        return max(1, LOGITS // self._vocabulary_size)

    def predict(self, prompts: Sequence[Sequence[int]], edit: Edit | None = None) -> Tensor:
        """Returns the log-probabilities of the token behind every prompt, float32 [prompts, vocabulary] in main memory.

        With an ``edit``, what it changes is the prompt's last token.
        """
        found = torch.empty(len(prompts), self._vocabulary_size)

        def work(places: list[int]) -> None:
            found[places] = self._last(*self._filled([prompts[place] for place in places]), places, edit).cpu()

        self._room.in_batches(range(len(prompts)), lambda place: len(prompts[place]), work, "predict")
        return found

    def divergences(self, prompts: Sequence[Sequence[int]], clean: Tensor, edit: Edit) -> NDArray[np.float64]:
        """Returns KL(edited ‖ clean) in nats of what is predicted behind every prompt [prompts]; ``clean`` is ``predict``'s.

        It is not a number where the edit is too strong for the subject's type.
        """
        found = np.empty(len(prompts))

        def work(places: list[int]) -> None:
            edited = self._last(*self._filled([prompts[place] for place in places]), places, edit)
            other = clean[places].to(edited.device)
            # A token that can't come adds nothing, though its logarithm is infinite; what is no number stays none.
            terms = torch.where(edited == -torch.inf, 0, edited.exp() * (edited - other))
            found[places] = terms.double().sum(1).clamp(min=0).cpu().numpy()

        self._room.in_batches(range(len(prompts)), lambda place: len(prompts[place]), work, "raise")
        return found

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        draws: NDArray[np.float64],
        ends: Sequence[int] = (),
        edit: Edit | None = None,
    ) -> list[list[int]]:
        """Returns what the subject writes behind every prompt at temperature 1, up to one of ``ends`` or the last draw.

        Token i of a prompt is the one that ``draws[prompt, i]``, from 0 to 1, hits. With an ``edit``, every token from the
        prompt's last one on is changed, so the change is seen by all that is written.
        """
        found: list[list[int]] = [[] for _ in prompts]

        def work(places: list[int]) -> None:
            with _changed(self.subject, edit, places):
                written = self._write([prompts[place] for place in places], draws[places])
            for place, tokens in zip(places, written, strict=True):
                end = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
                found[place] = tokens[:end]

        self._room.in_batches(range(len(prompts)), lambda place: len(prompts[place]) + draws.shape[1], work, "write")
        return found

    def _last(self, ids: Tensor, mask: Tensor, places: list[int], edit: Edit | None) -> Tensor:
        with _changed(self.subject, edit, places):
            return self._forward(ids, mask, (mask.cumsum(1) - 1).clamp(min=0), use_cache=False)[0]

    def _write(self, prompts: Sequence[Sequence[int]], draws: NDArray[np.float64]) -> list[list[int]]:
        ids, mask = self._filled(prompts)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        cache: Any = None
        written: list[Tensor] = []
        for step in range(draws.shape[1]):
            likely, cache = self._forward(ids, mask, positions, use_cache=True, past_key_values=cache)
            if cache is None:
                raise GlossaError(
                    f"the subject {self.subject.name} should keep keys and values to write texts with a latent changed, but its "
                    "architecture keeps none; use a transformer"
                )
            share = likely.double().exp().cumsum(1)
            draw = torch.from_numpy(draws[:, step : step + 1]).to(share)
            ids = torch.searchsorted(share, draw * share[:, -1:], right=True).clamp(max=share.shape[1] - 1)
            ids = ids.to(self.subject.device)
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
            positions = positions[:, -1:] + 1
            written.append(ids.cpu())
        return torch.cat(written, 1).tolist() if written else [[] for _ in prompts]

    def _forward(self, ids: Tensor, mask: Tensor, positions: Tensor, **more: Any) -> tuple[Tensor, Any]:
        """The log-probabilities behind the last column, float32 [rows, vocabulary], and the keys and values."""
        options = {"position_ids": positions, "logits_to_keep": 1}
        taken = {name: value for name, value in options.items() if name in self._takes}
        with torch.inference_mode():
            found = self.subject.model(input_ids=ids, attention_mask=mask, **taken, **more)
        return found.logits[:, -1].float().log_softmax(-1), found.get("past_key_values")

    def _filled(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """[rows, longest] tokens, filled up on the left, and where they are tokens of the rows."""
        longest = max(map(len, rows))
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, longest - len(row) :] = torch.tensor(row)
            mask[i, longest - len(row) :] = 1
        return ids.to(self.subject.device), mask.to(self.subject.device)


@contextmanager
def _changed(subject: Subject, edit: Edit | None, places: list[int]) -> Iterator[None]:
    """While it lasts, the last token of all that goes through is changed, as the prompts at ``places`` are to be."""
    if edit is None:
        yield
        return
    with ExitStack() as stack:
        for one in (edit, *edit.also):
            stack.enter_context(_changed_at(subject, one, torch.tensor(places)))
        yield


@contextmanager
def _changed_at(subject: Subject, edit: Edit, rows: Tensor) -> Iterator[None]:
    """The same for one place."""
    apart = resolve(subject, edit.reads).name != resolve(subject, edit.writes).name
    read: list[Tensor] = []

    def change(hidden: Tensor) -> Tensor:
        if hidden.ndim != 3:
            raise GlossaError(
                f"{edit.writes} of the subject {subject.name} should give [rows, tokens, width] to be changed, found "
                f"{list(hidden.shape)}; hook another module"
            )
        last = hidden[:, -1:]
        changed = edit.change(rows, read.pop()[:, -1:] if apart else last, last)
        return torch.cat([hidden[:, :-1], changed.to(hidden)], 1)

    with ExitStack() as stack:
        if apart:
            stack.enter_context(heard(subject, edit.reads, read.append))
        stack.enter_context(replaced(subject, edit.writes, change))
        yield
