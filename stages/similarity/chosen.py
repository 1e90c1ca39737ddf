"""Which pairs of coders are compared, and how many are left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

from stages import params, plan
from stages.errors import GlossaError, nearest
from stages.similarity import space
from stages.similarity.sources import Known

FAR = "coders farther apart than the nearest layers at their place"
APART = "coders at different places of different layers"
CONTROL = "a control and a coder that it is no control for"
OTHERS = "two coders of other projects"
UNLISTED = "coders that compare.pairs does not list"


class Choice(NamedTuple):
    """Pairs of coders."""

    pairs: list[tuple[str, str]]
    rule: str
    """``all``, ``neighbours`` or ``listed``."""
    of: int
    """How many pairs there are."""
    left_out: dict[str, int]
    """{why: how many of them}."""

    @property
    def compared(self) -> int:
        """Pairs that are compared; one that is listed in both orders counts once."""
        return self.of - sum(self.left_out.values())

    def facts(self) -> dict[str, Any]:
        """What data/similarity says of it."""
        return {"rule": self.rule, "compared": self.compared, "of": self.of, "left_out": self.left_out}

    def __str__(self) -> str:
        if not self.left_out:
            return f"{self.compared} pairs of coders"
        why = "; ".join(f"{n} of {reason}" for reason, n in self.left_out.items())
        return f"{self.compared} of {self.of} pairs of coders ({self.rule}; left out: {why})"


def check(p: params.Params) -> None:
    """Makes sure that ``compare`` names coders that there are.

    Raises:
        GlossaError: a pair names a coder that there is not, or a coder of another project is called like one of this.
    """
    names = [*p.coders, *p.compare.others]
    for name in p.compare.others:
        if not params.NAME.fullmatch(name) or name in p.coders:
            raise GlossaError(
                f"params.yaml: the name compare.others.{name} should hold only a-z, 0-9 and _ and be no coder's; rename it"
            )
    for name in (name for two in _listed(p) or () for name in two):
        if name not in names:
            raise GlossaError(f"params.yaml: compare.pairs names {name}, which is no coder; {nearest(name, names)}")


def choose(p: params.Params, known: Mapping[str, Known]) -> Choice:
    """Returns the pairs that ``compare.pairs`` asks for, in its order or that of params.yaml."""
    every = list(combinations([*p.coders, *p.compare.others], 2))
    if (listed := _listed(p)) is not None:
        unlisted = len({*map(frozenset, every)} - {*map(frozenset, listed)})
        return Choice(list(dict.fromkeys(listed)), "listed", len(every), {UNLISTED: unlisted} if unlisted else {})
    if p.compare.pairs is None:
        return Choice(every, "all", len(every), {})
    far = _Neighbours(p, known)
    reasons = {two: far.why_not(*two) for two in every}
    left_out = Counter(reason for reason in reasons.values() if reason is not None)
    pairs = [two for two, reason in reasons.items() if reason is None]
    return Choice(pairs, "neighbours", len(every), dict(sorted(left_out.items())))


def _listed(p: params.Params) -> tuple[tuple[str, str], ...] | None:
    return p.compare.pairs if isinstance(p.compare.pairs, tuple) else None


class _Neighbours:
    """The rule ``neighbours``; docs/compare.md tells it to people."""

    def __init__(self, p: params.Params, known: Mapping[str, Known]) -> None:
        self._known, self._others = known, p.compare.others
        self._controls = {name for name in p.coders if known[name].control or plan.subject_of(p, name) != p.subject}
        trained = [known[name] for name in p.coders if name not in self._controls]
        self._layers = {place: sorted(layers) for place, layers in _layers(trained).items()}
        self._read = {(coder.layer, space.module(coder.hookpoint)) for coder in trained}

    def why_not(self, a: str, b: str) -> str | None:
        """Returns why two coders are not compared; None if they are."""
        if a in self._others or b in self._others:
            return OTHERS if a in self._others and b in self._others else None
        first, second = self._known[a], self._known[b]
        controls = self._controls & {a, b}
        if controls:
            alike = first.layer == second.layer and space.module(first.hookpoint) == space.module(second.hookpoint)
            alone = len(controls) == 1 and not self._has_its_own(*controls)
            return None if alike or (alone and first.layer == second.layer is not None) else CONTROL
        if first.place != second.place:
            return None if first.layer == second.layer is not None else APART
        if first.layer is None or second.layer is None:
            return None
        layers = self._layers[first.place]
        return None if abs(layers.index(first.layer) - layers.index(second.layer)) <= 1 else FAR

    def _has_its_own(self, control: str) -> bool:
        """Whether a trained coder reads what a control does."""
        known = self._known[control]
        return (known.layer, space.module(known.hookpoint)) in self._read


def _layers(coders: Iterable[Known]) -> dict[str, set[int]]:
    """The layers of the coders of every place; a place without layers has none."""
    found: dict[str, set[int]] = {}
    for coder in coders:
        if coder.layer is not None:
            found.setdefault(coder.place, set()).add(coder.layer)
    return found
