"""What an audit looks at: the project in the current folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from stages import params, paths, plan
from stages.corpus.tokens import Tokens
from stages.params import LATENT, Params
from stages.provenance import code
from stages.provenance.declared import Declared
from stages.provenance.hashes import Disk
from stages.provenance.lock import Lock
from stages.wiring import git, made, running
from stages.wiring.locks import LOCK, of_coder


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


class Due(NamedTuple):
    """A stage that params.yaml describes."""

    output: Path
    """What it writes, or the first of that."""
    words: tuple[str, ...]
    """As ``glossa`` is told it, such as ``("explain", "resid2", "llm")``."""

    @property
    def key(self) -> str:
        """The dotted key of its fingerprint."""
        return made.key_of(self.words)


@dataclass(frozen=True)
class Project:
    """The project in the current folder, and how closely it is looked at."""

    p: Params
    sample: int
    """Windows of every coder whose activations are computed anew."""
    full: bool = False
    """Whether all of them are, and the scorers are run again that compute with a model of their own."""
    disk: Disk = field(default_factory=Disk)
    _changed: dict[Path, set[str] | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def here(cls, sample: int = 20, full: bool = False) -> Project:
        """The project in the current folder; raises GlossaError if params.yaml is missing or wrong, or its code does not run."""
        running.check()
        return cls(params.load(), sample, full)

    @cached_property
    def lock(self) -> Lock:
        """The lock files of params.yaml's coders and dvc.lock; raises GlossaError if that is missing, or one is damaged."""
        return Lock.read(self.p.coders)

    @cached_property
    def declared(self) -> Declared:
        """What DVC is told to run; raises GlossaError if a file that tells it is damaged."""
        return Declared.read(self.p.coders)

    @cached_property
    def made(self) -> dict[Path, dict[str, Any]]:
        """What every made.json says; nothing of one that is missing or damaged."""
        return {file: made.read(file) for file in dict.fromkeys(made.place(due.key) for due in self.due)}

    @cached_property
    def vouched(self) -> dict[str, bool | None]:
        """Of every lock file and made.json that is here, whether it is as committed; None where no commit has it."""
        files = [LOCK, *map(of_coder, self.p.coders), *self.made]
        return git.are_as_committed(file for file in files if file.is_file())

    def changed_code(self, lock_file: Path) -> set[str] | None:
        """See ``code.changed_since``; None also if the lock file is not as committed."""
        if lock_file not in self._changed:
            is_vouched = self.vouched.get(str(lock_file))
            self._changed[lock_file] = code.changed_since(lock_file) if is_vouched else None
        return self._changed[lock_file]

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
        return [Result(*triple) for triple in plan.wanted(self.p)]

    @cached_property
    def due(self) -> list[Due]:
        """The stages that params.yaml describes, in the order in which they run."""
        stages = [Due(paths.TOKENS, ("tokenize",))]
        for name, place in (("cache", paths.latents), ("sample", paths.examples)):
            stages += [Due(place(coder), (name, coder)) for coder in self.p.coders]
        stages += [Due(result.folder, ("explain", *result[:2])) for result in self.explained]
        stages += [Due(result.folder, ("score", *map(str, result))) for result in self.scored]
        return [*stages, Due(paths.SIMILARITY, ("compare",)), Due(paths.REPORT, ("report",))]

    @cached_property
    def ran(self) -> dict[str, Due]:
        """Those that have run, by what DVC calls them."""
        return {name: due for due in self.due if (name := self.maker(due.output)) is not None}

    @property
    def outputs(self) -> list[Path]:
        """An output of every stage that params.yaml describes, in the order in which they run."""
        return [due.output for due in self.due]

    def maker(self, path: Path) -> str | None:
        """The stage that wrote an output, as DVC calls it; None if the lock files name none.

        Of several the last, as DVC appends it, of those that there still are.
        """
        makers = self.lock.makers(path)
        known = [name for name in makers if self.declared.get(name) is not None]
        return next(reversed(known or makers), None)
