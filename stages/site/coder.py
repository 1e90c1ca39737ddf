"""All shards of one coder."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages import paths
from stages.explainers import table as explanations_table
from stages.params import LATENT
from stages.results.reading import CoderResults, Results
from stages.results.shown import Documents
from stages.site import latents, made, table, verdicts, windows
from stages.site.calls import Calls
from stages.site.ordered import Ordered
from stages.site.plan import Plan
from stages.site.relatives import Relatives
from stages.site.shards import save
from stages.site.spelling import Spelling
from stages.site.windows import Sampled
from stages.text.display import sentence


class Coder:
    """Writes what pages load of a coder, shard by shard; of its tables a few row groups are in memory."""

    def __init__(self, results: Results, name: str, strongest: int) -> None:
        """``strongest`` windows of every latent are shown, and some more; raises GlossaError if an output can't be read."""
        self._results = results
        self._coder: CoderResults = results.coders[name]
        self._strongest = strongest
        examples = self._coder.examples()
        self.plan = Plan.of(examples)
        self._sampled = Sampled(examples, results.tokens)
        self._verdicts = {
            (explainer, scorer): Ordered(paths.scores(name, explainer, scorer) / "verdicts.parquet", "explanation")
            for explainer, scorers in [*self._coder.scores.items(), (LATENT, self._coder.of_latents)]
            for scorer in scorers
        }

    @property
    def judged(self) -> set[int]:
        """The latents with a verdict of any scorer."""
        return set().union(*(verdicts.latents for verdicts in self._verdicts.values()))

    def manifest(self) -> dict[str, Any]:
        """Returns which shards there are."""
        everywhere = list(self.plan.numbers)
        return {
            "table": self.plan.kept["latent"].to_pylist()[:: table.ROWS],
            "shards": self.plan.firsts,
            "windows": self.plan.holding(self.judged),
            "verdicts": {
                f"{explainer}/{scorer}": self.plan.holding(found.latents)
                for (explainer, scorer), found in self._verdicts.items()
            },
            "made": dict.fromkeys(self._coder.explanations, everywhere),
        }

    def write_table(self, folder: Path) -> None:
        """Writes the columns of the table of latents."""
        for number, first in enumerate(range(0, len(self.plan.kept), table.ROWS)):
            rows = self.plan.kept.slice(first, table.ROWS)
            save(folder, f"{self._coder.name}/table/{number}", table.shard(self._coder, rows))

    def write(self, folder: Path, numbers: Iterable[int]) -> None:
        """Writes the shards with these numbers, of every kind."""
        judged = self.judged
        for number in numbers:
            facts, (lowest, highest) = self.plan.facts(number), self.plan.bounds(number)
            name = self._coder.name
            firing = self._sampled.firing(lowest, highest)
            shown = latents.shard(
                self._coder,
                facts.to_pylist(),
                firing,
                self._strongest,
                self._spelling,
                self._documents,
                self._relatives,
            )
            dropped = [[latent, sentence(reason)] for latent, reason in self.plan.dropped_in(number)]
            save(folder, f"{name}/latents/{number}", shown | {"dropped": dropped})
            of_shard = set(facts["latent"].to_pylist())
            if wanted := sorted(judged & of_shard):
                shown = windows.shard(self._sampled.judged(wanted), self._spelling)
                save(folder, f"{name}/windows/{number}", shown)
            for explainer, (rows, calls) in self._explanations.items():
                save(folder, f"{name}/made/{explainer}/{number}", made.shard(rows, calls, sorted(of_shard)))
            for (explainer, scorer), found in self._verdicts.items():
                if not of_shard.isdisjoint(found.latents):
                    shown = verdicts.shard(found, self._calls[explainer, scorer], lowest, highest)
                    save(folder, f"{name}/verdicts/{explainer}/{scorer}/{number}", shown)

    @cached_property
    def _spelling(self) -> Spelling:
        return Spelling(self._results.tokens.vocabulary)

    @cached_property
    def _documents(self) -> Documents:
        return Documents(self._results.tokens.documents)

    @cached_property
    def _relatives(self) -> dict[int, list[dict[str, Any]]]:
        return Relatives(self._results).of(self._coder.name)

    @cached_property
    def _explanations(self) -> dict[str, tuple[pa.Table, Calls]]:
        folders = {explainer: paths.explanations(self._coder.name, explainer) for explainer in self._coder.explanations}
        return {name: (explanations_table.read(folder)[0], Calls(folder)) for name, folder in folders.items()}

    @cached_property
    def _calls(self) -> dict[tuple[str, str], Calls]:
        return {key: Calls(paths.scores(self._coder.name, *key)) for key in self._verdicts}
