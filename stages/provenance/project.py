"""What an audit looks at: the project in the current folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from stages import params, paths, scorers
from stages.corpus.tokens import Tokens
from stages.params import LATENT, Params, read_yaml
from stages.provenance.hashes import Disk
from stages.provenance.lock import Lock


class Result(NamedTuple):
    """What an explain stage or, with a scorer, a score stage has left."""

    coder: str
    explainer: str
    scorer: str | None = None

    @property
    def folder(self) -> Path:
        """Where it lies."""
        if self.scorer is None:
            return paths.explanations(self.coder, self.explainer)
        return paths.scores(self.coder, self.explainer, self.scorer)

    @property
    def of_latent(self) -> bool:
        """Whether it judges latents, not explanations."""
        return self.explainer == LATENT


@dataclass(frozen=True)
class Project:
    """The project in the current folder, and how closely it is looked at."""

    p: Params
    sample: int
    """Windows of every coder whose activations are computed anew."""
    full: bool = False
    """Whether all of them are, and the scorers are run again that compute with a model of their own."""
    disk: Disk = field(default_factory=Disk)
    _params: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def here(cls, sample: int = 20, full: bool = False) -> Project:
        """The project in the current folder; raises GlossaError if params.yaml is missing or wrong."""
        return cls(params.load(), sample, full)

    @cached_property
    def lock(self) -> Lock:
        """dvc.lock; raises GlossaError if there is none."""
        return Lock.read()

    def params_of(self, file: str) -> Any:
        """What a params file says; raises GlossaError if it is missing or damaged."""
        if file not in self._params:
            self._params[file] = read_yaml(Path(file))
        return self._params[file]

    @cached_property
    def tokens(self) -> Tokens:
        """The corpus; raises GlossaError if it is not there."""
        return Tokens.open()

    @property
    def explained(self) -> list[Result]:
        """The outputs of the explain stages that params.yaml describes."""
        return [Result(coder, explainer) for coder in self.p.coders for explainer in self.p.explainers]

    @property
    def scored(self) -> list[Result]:
        """The outputs of the score stages that params.yaml describes."""
        return [Result(*triple) for triple in scorers.wanted(self.p)]

    @property
    def outputs(self) -> list[Path]:
        """An output of every stage that params.yaml describes, in the order in which they run."""
        of_coder = [place(coder) for place in (paths.latents, paths.examples) for coder in self.p.coders]
        results = [result.folder for result in (*self.explained, *self.scored)]
        return [paths.TOKENS, *of_coder, *results, paths.SIMILARITY, paths.REPORT]

    def maker(self, path: Path) -> str | None:
        """The stage that wrote an output, as DVC calls it; None if dvc.lock names none."""
        return self.lock.maker(path)
