"""Which stages ``dvc repro`` would run, and whose inputs are not there yet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from typing import Any, NamedTuple

from stages import plan
from stages.errors import GlossaError
from stages.params import LATENT, Params
from stages.wiring import fingerprints, locks
from stages.wiring.coder import address, stage_of


class Stage(NamedTuple):
    """An explain stage or, with a scorer, a score stage."""

    coder: str
    explainer: str
    scorer: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """As ``glossa`` is told."""
        return ("explain", *self[:2]) if self.scorer is None else ("score", self.coder, self.explainer, self.scorer)


def stages_of(p: Params) -> list[Stage]:
    """Returns the stages that params.yaml describes, in the order in which they run."""
    explains = [Stage(*pair) for pair in product(p.coders, p.explainers)]
    return explains + [Stage(*triple) for triple in plan.wanted(p)]


class Pending:
    """What DVC says of the pipeline."""

    def __init__(self, p: Params, status: dict[str, Any]):
        self._p, self._status = p, status

    @classmethod
    def from_dvc(cls, p: Params) -> Pending:
        """Asks DVC, which compares every input with what it was when the stage last ran, after taking the fingerprints anew.

        Raises:
            GlossaError: DVC can't tell.
        """
        fingerprints.refresh(p)
        command = [sys.executable, "-m", "dvc", "status", "--json"]
        environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        try:
            status = json.loads(done.stdout or "{}")
        except ValueError:
            status = None
        if done.returncode or not isinstance(status, dict):
            for lock in locks.files():
                locks.read(lock)  # says it better
            said = " ".join(done.stderr.split()) or "it says nothing"
            raise GlossaError(
                f"expected dvc status to tell which stages would run, but it fails: {said.rstrip('.')}; mend that"
            )
        return cls(p, status)

    def runs(self, stage: Stage) -> bool:
        """Whether ``dvc repro`` would run a stage, or may, because it would run one that it depends on."""
        return self._name(stage) in self._status or self.is_changed(stage)

    def is_changed(self, stage: Stage) -> bool:
        """Whether what a stage writes would be other than it was."""
        of_explanations = stage.scorer is not None and stage.explainer != LATENT
        before = of_explanations and self.is_changed(Stage(stage.coder, stage.explainer))
        return before or self.samples_change(stage.coder) or self._is_changed(self._name(stage))

    def compare_runs(self, p: Params) -> bool:
        """Whether ``dvc repro`` would run the comparison."""
        return "compare" in self._status or any(self.is_changed(one) for one in stages_of(p) if one.scorer is None)

    def samples_change(self, coder: str) -> bool:
        """Whether a coder would get other examples than it has."""
        return any(map(self._is_changed, ("tokenize", *(address(coder, name) for name in ("cache", "sample")))))

    def _name(self, stage: Stage) -> str:
        return stage_of(self._p, *stage)

    def _is_changed(self, name: str) -> bool:
        """Whether a stage would write something else; one whose outputs are merely gone makes the same again."""
        return any(not (isinstance(one, dict) and set(one) == {"changed outs"}) for one in self._status.get(name, []))
