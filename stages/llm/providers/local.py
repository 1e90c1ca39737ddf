"""A causal language model in this process: what it generates, and how likely it finds given texts.

Texts of different lengths go through it together, filled up on the left, the longest first and as many as fit. Log-probabilities
come from one forward pass over a whole text. Where many texts have a beginning in common it may be read once; every batch gets a
copy of what is kept of it, because the model writes into what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from functools import lru_cache
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages import gguf, params
from stages.errors import GlossaError, said
from stages.llm.providers.identity import KEY
from stages.machine import runtime
from stages.machine.memory import Headroom
from stages.subject.load import causal_lm, pick_device

LOGITS_AT_ONCE = 2**26
"""Logits that are turned into log-probabilities at once."""

PLAIN_STOP = "\n\nuser:"
"""Where an answer ends that was asked for without a chat template: where the next turn would begin."""


class Row(NamedTuple):
    """Tokens that are read, and the places of which the log-probability of a token is wanted."""

    ids: list[int]
    wanted: list[tuple[int, int]]
    """(place, token): how likely ``token`` is behind ``ids[:place]``, which is at least one token."""

    @classmethod
    def behind(cls, head: list[int], tail: list[int]) -> Row:
        """How likely every token of ``tail`` is behind ``head`` and those before it."""
        return cls(head + tail[:-1], [(len(head) + i, token) for i, token in enumerate(tail)])


class Beginning(NamedTuple):
    """Tokens that texts have in common, once they are read."""

    ids: list[int]
    kept: Any
    """Keys and values of all of them but the last; None where a model keeps something else."""


class Generated(NamedTuple):
    """What was generated behind a prompt."""

    text: str
    tokens: int
    whole: bool
    """Whether it came to its end, and not to the most tokens that it may have."""


class Local:
    """A model and its tokenizer."""

    def __init__(self, name: str, model: Any, tokenizer: Any, batch_tokens: int | None):
        self.name, self.model, self.tokenizer = name, model, tokenizer
        self.device = model.get_input_embeddings().weight.device
        remedy = "use a smaller dtype or model, or a device with more memory"
        self.headroom = Headroom(self.device, batch_tokens, f"the model {name}", remedy)
        self.limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        own = model.generation_config.eos_token_id
        ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
        self._ends = sorted(ends)
        self.takes = signature(model.forward).parameters.keys() & {"position_ids", "logits_to_keep"}
        from transformers import GenerationConfig

        # What a model's own file says of sampling would be taken wherever we say nothing.
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends, default=0)
        model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            eos_token_id=self._ends or None, pad_token_id=self.pad
        )

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, without those that a tokenizer would put around it."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def head(self, prompt: str) -> list[int]:
        """The tokens of a prompt, which begins with whatever the tokenizer puts in front of a text, such as BOS.

        Raises:
            GlossaError: there is none.
        """
        tokens = self._beginning() + self.encode(prompt)
        if not tokens:
            raise GlossaError(f"a prompt for {self.name} should have a token, found none; begin it with a text")
        return tokens

    def after(self, before: str, text: str) -> list[int]:
        """The tokens of ``text`` where it follows ``before``; on their own, many tokenizers would read them as a beginning."""
        head, whole = self.encode(before), self.encode(before + text)
        return whole[len(head) :] if whole[: len(head)] == head else self.encode(text)

    def log_probabilities(
        self, prompts: Sequence[str], continuations: Sequence[str]
    ) -> list[tuple[list[int], NDArray[np.float32]]]:
        """Returns, for every prompt, the tokens of its continuation and the natural logarithm of the probability of each.

        A token's probability is the one it has behind the prompt and the continuation's tokens before it. A prompt begins with
        whatever the tokenizer puts in front of a text, such as BOS.

        Raises:
            GlossaError: a prompt has no token, or is longer, with its continuation, than the model reads.
        """
        rows = []
        for prompt, continuation in zip(prompts, continuations, strict=True):
            rows.append(Row.behind(self.head(prompt), self.after(prompt, continuation)))
        return [([token for _, token in row.wanted], found) for row, found in zip(rows, self.read(rows), strict=True)]

    def read(self, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """Returns the log-probabilities that every row wants, in its order."""
        found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(rows)
        for row in rows:
            self.check_fits(len(row.ids))

        def work(places: list[int]) -> None:
            for place, values in zip(places, self._read([rows[place] for place in places]), strict=True):
                found[place] = values

        wanting = [place for place, row in enumerate(rows) if row.wanted]
        self.headroom.in_batches(wanting, lambda place: len(rows[place].ids), work, "read")
        return found

    def read_behind(self, head: list[int], rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """Returns what ``read`` returns for rows that all begin with ``head``, which is read once, and want no place inside it."""
        if len(head) < 2 or len(rows) < 2:
            return self.read(rows)
        return self.read_on(self.begin(head), rows)

    def begin(self, head: list[int]) -> Beginning:
        """Reads the beginning of texts, two tokens or more, for any number of calls of ``read_on``."""
        self.check_fits(len(head))
        with torch.inference_mode():
            ids = torch.tensor([head[:-1]], device=self.device)
            return Beginning(head, self.model(ids, use_cache=True, **self.only(1)).get("past_key_values"))

    def read_on(self, beginning: Beginning, rows: Sequence[Row]) -> list[NDArray[np.float32]]:
        """Returns what ``read`` returns for rows that all go on from ``beginning`` and want no place inside it."""
        if beginning.kept is None:
            return self.read(rows)
        for row in rows:
            self.check_fits(len(row.ids))
        found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(rows)
        first = len(beginning.ids) - 1

        def work(places: list[int]) -> None:
            rest = [
                Row(row.ids[first:], [(at - first, t) for at, t in row.wanted]) for row in map(rows.__getitem__, places)
            ]
            longest = max(len(row.ids) for row in rest)
            ids = torch.tensor([row.ids + [self.pad] * (longest - len(row.ids)) for row in rest], device=self.device)
            copied = deepcopy(beginning.kept)
            copied.batch_repeat_interleave(len(rest))
            unread = min(at for row in rest for at, _ in row.wanted) - 1
            options = self.only(longest - unread)
            with torch.inference_mode():
                logits = self.model(ids, past_key_values=copied, use_cache=True, **options).logits
            wanted = [(i, at - 1 - unread, token) for i, row in enumerate(rest) for at, token in row.wanted]
            read = self.gathered(logits[:, unread - longest :], wanted, rest)
            for place, values in zip(places, read, strict=True):
                found[place] = values

        wanting = [place for place, row in enumerate(rows) if row.wanted]
        self.headroom.in_batches(wanting, lambda place: len(rows[place].ids), work, "read")
        return found

    def generate(
        self,
        prompts: Sequence[list[int]],
        limits: Sequence[int],
        temperature: float,
        draws: Sequence[NDArray[np.float64]],
    ) -> list[Generated]:
        """Returns what the model says behind prompts that go through it at once, at most ``limits`` tokens each.

        At temperature 0 every token is the likeliest. Above, it is the one that the prompt's own draw, from 0 to 1, hits: there
        is one for each of its tokens, so that it does not matter what else goes through.
        """
        from transformers import GenerationConfig, LogitsProcessorList

        most = max(limits)
        processors = LogitsProcessorList([_Draw(draws, temperature)] if temperature else [])
        plain = {} if self.tokenizer.chat_template else {"stop_strings": [PLAIN_STOP]}
        ids, mask = self._filled(prompts)
        chosen = GenerationConfig(max_new_tokens=most, do_sample=False, num_beams=1, **plain)  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            output = self.model.generate(
                ids,
                attention_mask=mask,
                generation_config=chosen,
                logits_processor=processors,
                tokenizer=self.tokenizer if plain else None,
            )
        said = output[:, ids.shape[1] :].tolist()
        return [self._told(tokens, limit) for tokens, limit in zip(said, limits, strict=True)]

    def check_fits(self, tokens: int) -> None:
        """Raises GlossaError if so many tokens are more than the model reads."""
        if self.limit is not None and tokens > self.limit:
            raise GlossaError(
                f"the model {self.name} reads at most {self.limit:,} tokens, but a prompt with its answer has {tokens:,}; show it "
                "fewer or shorter examples, lower max_tokens, or use another model"
            )

    def _beginning(self) -> list[int]:
        """What the tokenizer puts in front of a text."""
        whole, bare = list(self.tokenizer("a")["input_ids"]), self.encode("a")
        return whole[: next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)]

    def _filled(self, rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        """[rows, longest] tokens, filled up on the left, and where they are tokens of the rows."""
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, longest - len(row) :] = torch.tensor(row)
            mask[i, longest - len(row) :] = 1
        return ids.to(self.device), mask.to(self.device)

    def _read(self, rows: list[Row]) -> Iterator[NDArray[np.float32]]:
        ids, mask = self._filled([row.ids for row in rows])
        longest = ids.shape[1]
        keep = max(len(row.ids) - min(place for place, _ in row.wanted) + 1 for row in rows)
        taken = self.only(keep) | self._at(mask, longest)
        with torch.inference_mode():
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False, **taken).logits[:, -keep:]
        wanted = [
            (i, keep - longest + (longest - len(row.ids)) + place - 1, token)
            for i, row in enumerate(rows)
            for place, token in row.wanted
        ]
        return self.gathered(logits, wanted, rows)

    def _at(self, mask: Tensor, last: int) -> dict[str, Tensor]:
        """Which positions the ``last`` columns are, as [rows, columns] ``mask`` says which are tokens, for a model that is told."""
        return {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)[:, -last:]} if "position_ids" in self.takes else {}

    def only(self, keep: int) -> dict[str, Any]:
        """What has a model compute the logits of its last ``keep`` places only, if it can."""
        return {"logits_to_keep": keep} if "logits_to_keep" in self.takes else {}

    def gathered(
        self, logits: Tensor, wanted: list[tuple[int, int, int]], rows: Sequence[Row]
    ) -> Iterator[NDArray[np.float32]]:
        """The log-probabilities at the (row, place, token) ``wanted`` of ``logits``, row by row."""
        parts = []
        for at in torch.tensor(wanted, device=logits.device).split(max(1, LOGITS_AT_ONCE // logits.shape[-1])):  # type: ignore[no-untyped-call]
            chosen = logits[at[:, 0], at[:, 1]].float().log_softmax(-1)
            parts.append(chosen.gather(1, at[:, 2:]).squeeze(1).cpu())
        values = torch.cat(parts).numpy()
        if np.isnan(values).any():
            raise GlossaError(
                f"the model {self.name} gives numbers that are none in this type; set its dtype to bfloat16 or float32"
            )
        return iter(np.split(values, np.cumsum([len(row.wanted) for row in rows])[:-1]))

    def _told(self, tokens: list[int], limit: int) -> Generated:
        end = next((i for i, token in enumerate(tokens) if token in self._ends), None)
        whole = end is not None and end < limit
        said = tokens[: end if whole else limit]
        text = self.tokenizer.decode(said, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        if not self.tokenizer.chat_template and PLAIN_STOP in text:
            text, whole = text.partition(PLAIN_STOP)[0], True
        return Generated(text, len(said) + (end is not None and whole), whole)


@lru_cache(maxsize=1)
def load(model: str, revision: str | None, dtype: str) -> Local:
    """Loads a model and its tokenizer from a folder, a GGUF file or the Hub.

    Raises:
        GlossaError: it is no causal language model, or has no tokenizer.
    """
    from transformers import AutoTokenizer

    settings = runtime.load()
    section = params.Subject.model_validate({"model": model, "revision": revision, "dtype": dtype})
    loaded, commit = causal_lm(section, 0, pick_device(settings.device), settings.device_map, KEY)
    file = gguf.find(model, f"{KEY}.model")
    try:
        with gguf.header(file) if file else nullcontext(model) as place:
            tokenizer = AutoTokenizer.from_pretrained(place, revision=commit, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        why = said(error)
        raise GlossaError(f"{KEY}.model should have a tokenizer, but that of {model} can't be loaded: {why}") from None
    return Local(file.name if file else model, loaded, tokenizer, settings.batch_tokens)


class _Draw:
    """Replaces the scores of every row by the token that its next draw hits."""

    def __init__(self, draws: Sequence[NDArray[np.float64]], temperature: float):
        self._draws, self._temperature, self._step = draws, temperature, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        share = (scores.float() / self._temperature).softmax(-1).cumsum(-1)
        draw = torch.tensor([[row[self._step] if self._step < len(row) else 0.0] for row in self._draws]).to(share)
        self._step += 1
        chosen = torch.searchsorted(share, draw * share[:, -1:], right=True).clamp(max=share.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)
