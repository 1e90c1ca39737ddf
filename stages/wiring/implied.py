"""What stages read beside their dependencies, because those change whenever it does.

Outputs name by their hashes what they were made from: examples the tokens, explanations the examples, similarities the explanations.
A stage that depends on the end of such a chain runs again when anything on it changes, so DVC need not hash, lock and write down the rest
for every stage. What it then does not see to is that the rest is here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import click

from stages import params, paths
from stages.errors import GlossaError

STAGE = "DVC_STAGE"
"""What DVC calls the stage that it runs, in the environment."""


def of(p: params.Params, words: Sequence[str]) -> list[Path]:
    """Returns the outputs of other stages that a stage reads and does not depend on; ``words`` are as ``glossa`` is told them."""
    match words:
        case ["explain", _, _] | ["score", _, params.LATENT, _]:
            return [paths.TOKENS]
        case ["score", coder, _, _]:
            return [paths.TOKENS, paths.examples(coder)]
        case ["compare"]:
            return [paths.TOKENS, *map(paths.examples, p.coders)]
        case ["report"]:
            explained = (paths.explanations(*pair) for pair in product(p.coders, p.explainers))
            return [paths.TOKENS, *map(paths.examples, p.coders), *explained]
    return []


def fetch(p: params.Params, words: Sequence[str]) -> None:
    """Has DVC bring what a stage reads and does not depend on, if it is DVC that runs the stage and not all of it is here.

    In a clone without data ``dvc repro --pull --allow-missing`` fetches the dependencies of what it runs alone.

    Raises:
        GlossaError: DVC does not bring it.
    """
    if STAGE not in os.environ:
        return
    missing = [str(path) for path in of(p, words) if not (path / "meta.json").is_file()]
    if not missing:
        return
    click.echo(f"{words[0]}: dvc pull {' '.join(missing)}")
    # Another stage that runs at the same time may be pulling the same.
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "pull", "--quiet", *missing]
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        why = " ".join(done.stderr.split()).removeprefix("ERROR: ").rstrip(".")
        raise GlossaError(
            f"{' '.join(words)} reads {', '.join(missing)}, which should be here, but is not, and dvc pull does not bring it ({why}); run "
            f"dvc pull {' '.join(missing)}, or dvc repro without --allow-missing, which makes it anew"
        )
