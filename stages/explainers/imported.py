"""``imported``: explanations that somebody made elsewhere, read instead of made; scored, compared and audited like any other.

What they were made from is not known, windows of the test side included: a score of theirs is no held-out one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from stages import paths
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError, nearest
from stages.examples.table import Examples, LatentExamples
from stages.explainers import source
from stages.explainers.table import Explanation
from stages.llm.sanitise import line
from stages.outputs import fingerprint
from stages.params import Params, Section

MOST = 2000
"""Characters of an explanation that are kept."""

FACT = "imported"


READS = ("coders",)
"""Of params.yaml, beside its own entry."""


class Options(Section):
    """The entry ``{kind: imported, format: delphi, path: theirs/explanations, coders: {resid2: layers.2}}``."""

    kind: Literal["imported"]

    format: Literal["delphi", "json", "jsonl", "csv"]

    path: str
    """The folder that holds them, on all of which the stage depends."""

    coders: Annotated[dict[str, str], Field(min_length=1)]
    """Whose they are: by the names of params.yaml what each is called there, for ``delphi`` its hookpoint, else its file."""

    @field_validator("coders")
    @classmethod
    def _once(cls, value: dict[str, str]) -> dict[str, str]:
        if len(set(value.values())) < len(value):
            raise PydanticCustomError("twice", "should give the same to no two coders, whose latents are not the same")
        return value

    def prepare(self, latents: Iterable[LatentExamples], p: Params, coder: str) -> Iterator[LatentExamples]:
        """Yields the latents with what was found of each among their facts, as ``imported``.

        Raises:
            GlossaError: nothing is there, it is of another coder, or a file is damaged.
        """
        for name in self.coders:
            if name not in p.coders:
                raise GlossaError(f"params.yaml: {self._place} names the coder {name}; {nearest(name, p.coders)}")
        found = self._source(coder, Examples.open(paths.examples(coder)).meta["n_latents"])
        for latent in latents:
            fact = None if found is None else found.get(latent.latent)
            yield replace(latent, facts={**latent.facts, FACT: (found is not None, fact)})

    def explain(self, latents: Iterable[LatentExamples], tokens: Tokens) -> Iterator[Explanation]:
        """Yields what was found of every latent, or the reason why there is nothing."""
        for latent in latents:
            is_of_coder, fact = latent.facts[FACT]
            if fact is None:
                why = f"{self.path} has none of it" if is_of_coder else "none were imported of this coder"
                yield Explanation(latent.latent, None, why, {})
                continue
            evidence = {"format": self.format, "file": f"{self.path}/{fact.file}", "sha256": fact.sha256}
            text = line(fact.text or "", MOST)
            if fact.text == source.UNPARSED:
                yield Explanation(latent.latent, None, "delphi could not read the model's answer", evidence)
            elif not text:
                yield Explanation(latent.latent, None, "the imported explanation is empty", evidence)
            else:
                yield Explanation(latent.latent, text, None, evidence)

    def facts(self, coder: str, examples: Examples) -> dict[str, Any]:
        """Returns for the meta how many there are, how many of latents that were not sampled, and one hash over their files."""
        found = self._source(coder, examples.meta["n_latents"])
        if found is None:
            return {}
        left = len(found.places.keys() - set(examples.kept))
        told = {"explanations": len(found.places), "not_sampled": left, "sha256": fingerprint(found.files)}
        return {FACT: {**told, "made_by": "not known"}}

    def _source(self, coder: str, n_latents: int) -> source.Source | None:
        if coder not in self.coders:
            return None
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
