"""``transformers``: a causal language model in this process, from a folder, a GGUF file or the Hub.

Verdicts are not generated but read off its probabilities (``forced``); all else is free text. The instructions with which the prompts
of verdicts begin are read once for hundreds of them. Answers are kept in the journal
under the hash of the model's files or of its repository and commit, so none is made twice, wherever the folder lies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field
from tqdm import tqdm

from stages import gguf
from stages.llm import Provider
from stages.llm.call import Call
from stages.llm.journal import canonical, transcript
from stages.llm.journal.store import Journal
from stages.llm.providers import chat, forced
from stages.llm.providers.identity import identity
from stages.llm.request import Answer, Request
from stages.llm.server import faults
from stages.llm.server.exchange import Asked, Question, exchange, messages
from stages.machine.progress import bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stages.llm.providers.local import Beginning, Local

AT_ONCE = 512
"""Requests among which those of like length go through together, and which read what their prompts begin with once."""

WORTH_KEEPING = 16
"""Tokens that prompts have to have in common for that."""


class Options(Provider):
    """The entry ``{provider: transformers, model: …}``."""

    provider: Literal["transformers"]

    model: str
    """A folder, a GGUF file, also one of an installed package, or a repository on the Hub."""

    revision: str | None = None
    """Commit of that repository."""

    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    temperature: Annotated[float, Field(ge=0, le=2)] = 0
    max_tokens: Annotated[int, Field(ge=1)] = 500
    """Tokens of an answer that is no verdict."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of what is drawn, above temperature 0."""

    reasks: Annotated[int, Field(ge=0, le=5)] = 2
    """How often an answer that can't be read is asked for again."""

    template: dict[str, Any] = Field(default_factory=dict)
    """Variables of the chat template, such as ``{enable_thinking: false}``."""

    logprobs: ClassVar[int] = 1

    @cached_property
    def endpoint(self) -> str:
        """What stands for this model in the journal, instead of the name of a server."""
        return f"transformers:{identity(self.model, self.revision, self.dtype)}"

    @property
    def name(self) -> str:
        """The model's name, without the folders around it."""
        if file := gguf.find(self.model, "models.*.model"):
            return file.name
        return Path(self.model).name if Path(self.model).is_dir() else self.model

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yields an answer for every request, in their order.

        Raises:
            GlossaError: the model can't be loaded, or a request does not fit into it.
        """
        recorder = transcript.current()
        waiting = iter(requests)
        with Journal.at_home() as journal, bar(self.name, unit="answer") as progress:
            while part := list(islice(waiting, AT_ONCE)):
                for asked in self._ask(part, journal, progress):
                    if recorder is not None:
                        for key in asked.keys:
                            recorder.record(journal[key])
                    yield asked.answer

    def log_probabilities(
        self, prompts: Sequence[str], continuations: Sequence[str]
    ) -> list[tuple[list[int], NDArray[np.float32]]]:
        """Returns the tokens of every continuation and their log-probabilities; see ``Local.log_probabilities``."""
        return self.local().log_probabilities(prompts, continuations)

    def local(self) -> Local:
        """Returns the model, loaded once."""
        from stages.llm.providers import local

        return local.load(self.model, self.revision, self.dtype)

    def body(self, request: Request, again: int = 0, reason: str | None = None) -> bytes:
        """Returns the question as what a server would be sent; it is what an answer is kept under."""
        body: dict[str, Any] = {"model": self.name, "messages": messages(request, again, reason)}
        body["temperature"] = self.temperature
        if self.temperature:
            body["seed"] = self.seed
        if self.template:
            body["chat_template_kwargs"] = self.template
        if forced.choices(request.schema):
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            body["max_tokens"] = self.limit_of(request)
        return canonical.encode(body)

    def limit_of(self, request: Request) -> int:
        """Returns the most tokens that the answer to ``request`` may have."""
        return request.max_tokens or self.max_tokens

    def _ask(self, requests: list[Request], journal: Journal, progress: tqdm) -> list[Asked]:
        """The answers to a few requests; what can't be read is asked for again, all of it together."""
        answered: dict[int, Asked] = {}
        exchanges = [exchange(self, request) for request in requests]
        questions = {number: next(started) for number, started in enumerate(exchanges)}
        while questions:
            keys = {number: self._key(question) for number, question in questions.items()}
            if any(key not in journal for key in keys.values()):
                self._make({keys[number]: question for number, question in questions.items()}, journal, progress)
            further = {}
            for number, key in keys.items():
                call = journal[key]
                try:
                    further[number] = exchanges[number].send((call, faults.kept(call.status, call.response)))
                except StopIteration as end:
                    answered[number] = end.value
            questions = further
        return [answered[number] for number in range(len(requests))]

    def _key(self, question: Question) -> str:
        return canonical.key(self.endpoint, question.body, question.number)

    def _make(self, questions: dict[str, Question], journal: Journal, progress: tqdm) -> None:
        """Answers those of the questions, by their keys, that the journal does not know.

        Which ones go through together follows from all of them, known or not, and those that do are kept together. So a run that
        was killed goes on with the same batches, and its answers are the same to the last digit.
        """
        local = self.local()
        progress.total = progress.n + sum(key not in journal for key in questions)
        asked = [self._begin(local, key, question) for key, question in questions.items()]
        head = _shared([one.prompt for one in asked if one.form])
        beginning: list[Beginning] = []

        def make(places: list[int], replies: Callable[[Local, list[_Begun]], list[bytes]]) -> None:
            unknown = [asked[place] for place in places if asked[place].key not in journal]
            if unknown:
                calls = [
                    Call(one.key, self.endpoint, canonical.CHAT, one.question.number, 200, one.question.body, reply)
                    for one, reply in zip(unknown, replies(local, unknown), strict=True)
                ]
                journal.add(calls, "transformers")
                progress.update(len(calls))

        def verdicts(local: Local, some: list[_Begun]) -> list[bytes]:
            if not beginning and len(head) >= WORTH_KEEPING:
                beginning.append(local.begin(head))
            return self._verdicts(local, some, beginning[0] if beginning else None)

        for replies, with_form in ((verdicts, True), (self._texts, False)):
            places = [place for place, one in enumerate(asked) if (one.form is not None) == with_form]
            local.headroom.in_batches(places, lambda place: asked[place].length, partial(make, replies=replies))

    def _begin(self, local: Local, key: str, question: Question) -> _Begun:
        messages = json.loads(question.body)["messages"]
        prompt = local.encode(chat.text(local.tokenizer, self.model, messages, self.template))
        schema = json.loads(question.body).get("response_format", {}).get("json_schema", {}).get("schema")
        generator = np.random.default_rng(int(key[:16], 16))
        if (choices := forced.choices(schema)) is None:
            local.check_fits(len(prompt) + question.max_tokens)
            draws = generator.random(question.max_tokens if self.temperature else 0)
            return _Begun(key, question, prompt, None, len(prompt) + question.max_tokens, draws)
        form = forced.Form(local, prompt, choices, self.temperature, generator.random(len(choices)))
        local.check_fits(len(form))
        return _Begun(key, question, prompt, form, len(form), generator.random(0))

    def _verdicts(self, local: Local, asked: list[_Begun], beginning: Beginning | None) -> list[bytes]:
        forms = [one.form for one in asked if one.form]
        return [
            self._reply(form.text(values), "stop", len(one.prompt), len(form) - len(one.prompt), form.reported(values))
            for one, form, values in zip(asked, forms, forced.fill_in(local, forms, beginning), strict=True)
        ]

    def _texts(self, local: Local, asked: list[_Begun]) -> list[bytes]:
        limits = [one.question.max_tokens for one in asked]
        generated = local.generate(
            [one.prompt for one in asked], limits, self.temperature, [one.draws for one in asked]
        )
        return [
            self._reply(said.text, "stop" if said.whole else "length", len(one.prompt), said.tokens)
            for one, said in zip(asked, generated, strict=True)
        ]

    def _reply(
        self, content: str, finish: str, prompt: int, completion: int, tokens: list[dict[str, Any]] | None = None
    ) -> bytes:
        """What a server would send."""
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        choice["message"] = {"role": "assistant", "content": content}
        if tokens is not None:
            choice["logprobs"] = {"content": tokens}
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return canonical.encode({"object": "chat.completion", "model": self.name, "choices": [choice], "usage": usage})


def _shared(prompts: Sequence[list[int]]) -> list[int]:
    """The tokens that all of the prompts begin with; of one alone none, as nothing is saved there."""
    if len(prompts) < 2:
        return []
    first, last = min(prompts), max(prompts)  # what these two have in common, all between them have
    n = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:n]


class _Begun(NamedTuple):
    """A question as the model gets it."""

    key: str
    question: Question
    prompt: list[int]
    form: forced.Form | None
    """The answer of which only values are open; None for a text."""
    length: int
    """Tokens, with those of the answer."""
    draws: NDArray[np.float64]
    """What decides of a text's tokens above temperature 0."""
