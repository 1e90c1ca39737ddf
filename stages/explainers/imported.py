"""``imported``: explanations that somebody made elsewhere, read instead of made; scored, compared and audited like any other.

Those that people wrote by ``glossa rate --write`` say from what. Of all others that is not known, windows of the test side included:
a score of theirs is no held-out one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from stages import paths
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, nearest
from stages.examples.table import Examples, LatentExamples
from stages.explainers import Explainer, source, written
from stages.explainers.table import Explanation
from stages.outputs import fingerprint
from stages.params import Params
from stages.text.sanitise import line

FACT = "imported"
NOT_KNOWN = "not known"
NONE_OF_CODER = "none were imported of this coder"

READS = ("coders",)
"""Of params.yaml, beside its own entry."""


class Options(Explainer):
    """The entry ``{kind: imported, path: written.jsonl}``, or ``{kind: imported, format: delphi, path: theirs, coders: {resid2: layers.2}}``."""

    kind: Literal["imported"]

    format: Literal["glossa", "delphi", "json", "jsonl", "csv"] = "glossa"

    path: str
    """The file that ``glossa rate`` wrote, or the folder that holds them: on all of it the stage depends."""

    coders: Annotated[dict[str, str], Field(min_length=1)] | None = None
    """Whose they are: by the names of params.yaml what each is called there, for ``delphi`` its hookpoint, else its file.

    ``glossa`` has none, as every row says whose it is.
    """

    by: str | None = None
    """``glossa``: whose explanations are taken; everybody's if there is no name."""

    made_by: Annotated[str, Field(min_length=1)] | None = None
    """All others: who or what made them, as far as is known; nothing checks it."""

    @field_validator("coders")
    @classmethod
    def _once(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        if value and len(set(value.values())) < len(value):
            raise PydanticCustomError("twice", "should give the same to no two coders, whose latents are not the same")
        return value

    @model_validator(mode="after")
    def _of_its_format(self) -> Options:
        is_ours = self.format == written.FORMAT
        if not is_ours and self.coders is None:
            raise PydanticCustomError("whose", "should say under coders whose the explanations are")
        for name in ("coders", "made_by") if is_ours else ("by",):
            if getattr(self, name) is not None:
                why = "whose rows say it themselves" if is_ours else "whose authors are not told apart"
                raise PydanticCustomError(
                    "elsewhere",
                    "should have no {name} for the format {format}, {why}",
                    {"name": name, "format": self.format, "why": why},
                )
        return self

    def prepare(self, latents: Iterable[LatentExamples], p: Params, coder: str) -> Iterator[LatentExamples]:
        """Yields the latents with what was found of each among their facts, as ``imported``.

        Raises:
            GlossaError: nothing is there, it is of another coder, or a file is damaged.
        """
        for name in self.coders or ():
            if name not in p.coders:
                raise GlossaError(f"params.yaml: {self._place} names the coder {name}; {nearest(name, p.coders)}")
        found = self._found(p, coder, Examples.open(paths.examples(coder)))
        for latent in latents:
            yield replace(latent, facts={**latent.facts, FACT: self._explanation(found, latent)})

    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields what was found of every latent, or the reason why there is nothing."""
        for latent in latents:
            yield latent.facts[FACT]

    def facts(self, p: Params, coder: str, examples: Examples) -> dict[str, Any]:
        """Returns for the meta how many there are, how many of latents that were not sampled, who made them, and one hash over them."""
        found = self._found(p, coder, examples)
        if found is None:
            return {}
        if isinstance(found, written.Written):
            return {FACT: found.facts(examples)}
        left = len(found.places.keys() - set(examples.kept))
        told = {"explanations": len(found.places), "not_sampled": left, "sha256": fingerprint(found.files)}
        return {FACT: {**told, "made_by": self.made_by or NOT_KNOWN, "held_out": 0}}

    def _explanation(self, found: source.Source | written.Written | None, latent: LatentExamples) -> Explanation:
        number = latent.latent
        if found is None:
            return Explanation(number, None, NONE_OF_CODER, {})
        if isinstance(found, written.Written):
            return found.explanation(latent)
        fact = found.get(number)
        if fact is None:
            return Explanation(number, None, f"{self.path} has none of it", {})
        evidence = {"format": self.format, "file": f"{self.path}/{fact.file}", "sha256": fact.sha256}
        if self.made_by is not None:
            evidence["made_by"] = self.made_by
        if fact.text == source.UNPARSED:
            return Explanation(number, None, "delphi could not read the model's answer", evidence)
        text = line(fact.text or "", written.MOST)
        return Explanation(number, text or None, None if text else "the imported explanation is empty", evidence)

    def _found(self, p: Params, coder: str, examples: Examples) -> source.Source | written.Written | None:
        if self.format == written.FORMAT:
            return written.read(self.path, coder, examples.meta["coder"]["sha256"], p.coders, self.by)
        if self.coders is None or coder not in self.coders:
            return None
        n_latents = examples.meta["n_latents"]
        found = source.read(self.format, self.path, self.coders[coder])
        if (highest := max(found.places)) >= n_latents:
            raise GlossaError(
                f"expected explanations of latents 0 to {n_latents - 1} of {coder} in {self.path}, but "
                f"{self.coders[coder]} has one of latent {highest}: they are of another coder; correct {self._place}"
            )
        return found

    @property
    def _place(self) -> str:
        return f"coders of the explainer with the path {self.path}"
