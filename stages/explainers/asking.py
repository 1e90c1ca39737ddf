"""What the explainers that ask a language model have in common: one request a latent, and what its answer comes to.

All requests of a stage begin with the same turns, so that servers compute those once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import tee
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from stages import llm, prompts
from stages.corpus.tokens import Tokens, Vocabulary
from stages.errors import GlossaError
from stages.examples.table import LatentExamples
from stages.explainers import Explainer, parroted, prompt, shown
from stages.explainers.form import Form, refused
from stages.explainers.table import Explanation
from stages.llm.heard import heard
from stages.llm.request import Answer, Message, Request


class Question(NamedTuple):
    """What is asked of one latent, or why nothing is."""

    latent: int
    request: Request | None
    reason: str | None = None


class Asking(Explainer):
    """The options that these explainers share, and how they explain; each adds its prompt and what it shows."""

    PROMPT: ClassVar[Path]
    THINKS: ClassVar[bool] = False

    model: dict[str, Any]

    prompt: str | None = None
    """A file of one's own in place of the kind's prompt, in the same form."""

    shots: Annotated[int, Field(ge=0)] | None = None
    """Worked examples of the prompt that the model is shown before a latent, the first so many; all when None. Small models repeat them rather
    than learn of them."""

    @field_validator("model")
    @classmethod
    def _can_write(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("provider") == "pattern":
            raise PydanticCustomError("no_writer", "should be a language model (kind: pattern explains without one)")
        return value

    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields what the model says of every latent, or the reason why it says nothing."""
        model = llm.load("model", self.model)
        form = self._form(model)
        turns = self._turns(form)
        questions = (self._question(latent, tokens.vocabulary, turns, form) for latent in latents)
        yield from self._ask(model, questions, form)

    def _show(self, latent: LatentExamples, vocabulary: Vocabulary) -> list[str] | str:
        """Returns the lines of the user's turn, or, as text, why nothing can be shown of this latent."""
        raise NotImplementedError

    def _ask(self, model: llm.Model, questions: Iterable[Question], form: Form) -> Iterator[Explanation]:
        return ask(model, questions, form, prompt.worked(self._prompt(), self.shots))

    def _turns(self, form: Form) -> tuple[Message, ...]:
        return prompt.read(self._prompt(), form, self._without(), self.shots)

    def _prompt(self) -> str:
        found = prompts.read(self.prompt, self.PROMPT)
        prompt.check(found, self.prompt or self.PROMPT.name, self.THINKS)
        if self.shots is not None and self.shots > (most := len(prompt.worked(found))):
            place = self.prompt or f"of {self.PROMPT.stem}"
            raise GlossaError(
                f"shots should be at most {most}, as the prompt {place} has no more worked examples, found {self.shots}"
            )
        return found

    def _without(self) -> tuple[str, ...]:
        """What the lines of the prompt begin with that are left out, because nothing of the kind is shown."""
        return ()

    def _form(self, model: llm.Model) -> Form:
        # A provider without the option promises no structure.
        return Form(getattr(model, "structured", "none") != "none", self.THINKS)

    def _question(
        self, latent: LatentExamples, vocabulary: Vocabulary, turns: tuple[Message, ...], form: Form, sample: int = 0
    ) -> Question:
        lines = self._show(latent, vocabulary)
        if isinstance(lines, str):
            return Question(latent.latent, None, lines)
        messages = (*turns, Message("user", "\n".join(lines)))
        return Question(latent.latent, Request(messages, form.schema, tag=form.tag, sample=sample))


class AskingOfTexts(Asking):
    """The options of those that show texts on which the latent fires."""

    examples: Annotated[int, Field(ge=1)] | None = None
    """How many train windows are shown at most, evenly spread over their strengths; all when None."""

    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """A token is marked above this share of its window's maximum."""

    strengths: bool = True
    """Whether the strengths of marked tokens are shown, 0 to 10."""

    def _show(self, latent: LatentExamples, vocabulary: Vocabulary) -> list[str] | str:
        train = latent.train
        if not len(train):
            return "there is no window to explain it by"
        places = shown.spread(len(train), self.examples)
        lines = shown.firing(train, places, vocabulary, self.threshold, latent.facts["max"])
        return [line for line in lines if self.strengths or not line.startswith(shown.FIRING)]

    def _without(self) -> tuple[str, ...]:
        return (*super()._without(), *(() if self.strengths else (shown.FIRING,)))


def ask(
    model: llm.Model, questions: Iterable[Question], form: Form, worked: Sequence[str] = ()
) -> Iterator[Explanation]:
    """Yields what ``model`` says to every question, or the reason why it says nothing.

    A question whose answer repeats one of the ``worked`` examples is asked again without them, when all others are answered.
    """
    # The model draws as many requests ahead as it needs; tee holds those until their answers come.
    asked, ahead = tee(questions)
    answers = heard(model.answer(question.request for question in ahead if question.request))
    found: list[Explanation] = []
    again: dict[int, Request] = {}
    for question in asked:
        if question.request is None:
            found.append(Explanation(question.latent, None, question.reason, {}))
            continue
        said = checked(explanation(question.latent, next(answers), form), question.request, worked)
        if said.reason == parroted.EXAMPLE:
            again[len(found)] = _bare(question.request)
        found.append(said)
    next(answers, None)  # lets the model put away what it opened
    if again:
        answers = model.answer(again.values())
        for place, request in again.items():
            first, said = found[place], checked(explanation(found[place].latent, next(answers), form), request, worked)
            found[place] = said._replace(evidence={**said.evidence, "asked_again": first.evidence["repeated"]})
        next(answers, None)
    yield from found


def _bare(request: Request) -> Request:
    """The request without worked examples: what the system says, and the last turn."""
    messages = request.messages
    return replace(request, messages=(*(one for one in messages if one.role == "system"), messages[-1]))


def checked(found: Explanation, request: Request, worked: Sequence[str]) -> Explanation:
    """Returns an explanation, or why it is none, as it repeats what the model was shown; its text is then kept as evidence."""
    if found.text is None:
        return found
    reason = parroted.parroted(found.text, worked, request.messages[-1].content)
    return (
        found
        if reason is None
        else found._replace(text=None, reason=reason, evidence={**found.evidence, "repeated": found.text})
    )


def explanation(latent: int, answer: Answer, form: Form) -> Explanation:
    """Returns what an answer says of a latent."""
    evidence = {"model": answer.model} if answer.model else {}
    if answer.content is None:
        return Explanation(latent, None, answer.reason or "no answer", evidence, answer.key)
    text, analysis = form.read(answer.content)
    if analysis:
        evidence["analysis"] = analysis
    if reason := refused(text):
        return Explanation(latent, None, reason, evidence, answer.key)
    return Explanation(latent, text, None, evidence, answer.key)
