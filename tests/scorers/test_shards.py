"""Scores found by several processes are those of one, byte for byte; what goes wrong in one of them is one sentence."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stages import outputs, params, paths, scorers
from stages.cli import main
from stages.corpus.tokens import Tokens
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.params import LATENT
from stages.scorers import Context, Item, Judging, detection, run, shards
from tests.scorers.on_disk import Latent, firing, furnish, silent

KINDS = ("detection", "fuzzing", "intruder", "simulation")
SCORERS = {kind: {"kind": kind, "model": {"provider": "pattern"}} for kind in KINDS}
LATENTS = {number: Latent(firing(1, 8, seed=number), silent(8, seed=50 + number)) for number in range(9)}
LATENTS[4] = Latent([], [])  # of which nothing can be shown
TEXTS = {number: 'Fires on "cat".' if number % 2 else 'Fires on "dog".' for number in LATENTS if number != 7}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(LATENTS, {"right": TEXTS}, SCORERS)
    for name, value in (("PAYS", 1), ("LATENTS", 2), ("IN_A_ROW", 1)):
        monkeypatch.setattr(shards, name, value)


def score(kind: str, processes: int, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("GLOSSA_WORKERS", str(processes))
    return CliRunner().invoke(main, ["score", "one", LATENT if kind == "intruder" else "right", kind])


@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_are_those_of_one_process(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for processes in (1, 2):
        result = score(kind, processes, monkeypatch)
        assert result.exit_code == 0, (result.output, result.exception)
        folder = paths.scores("one", LATENT if kind == "intruder" else "right", kind)
        files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
        assert {"meta.json", "scores.parquet", "verdicts.parquet"} <= set(files)
        found.append((result.stdout, files))
    assert found[0] == found[1]


def test_a_mistake_that_a_process_finds_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    meta = outputs.read_meta(paths.examples("one"), "glossa/examples", 3)
    outputs.write_meta(paths.examples("one"), "glossa/examples", 3, meta | {"tokens_sha256": "of others"})
    # Under load a bar is shown before, which its end takes away.
    said = {score("detection", processes, monkeypatch).stderr.rpartition("\r")[2] for processes in (1, 2)}
    assert len(said) == 1
    assert said.pop().startswith("Error: the windows in data/examples/one were taken from other tokens")
    assert not paths.scores("one", "right", "detection").exists()


class Dying(detection.Options):
    """A scorer of which a process dies."""

    def judge(self, items: Collection[Item], context: Context) -> Judging:
        """Ends as for want of memory."""
        yield from super().judge(items, context)
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


def test_a_process_that_is_killed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOSSA_WORKERS", "2")
    scorer = Dying.model_validate(SCORERS["detection"])
    context = Context(Tokens.open().vocabulary, 0, "one", params.only(params.load(), "seed"))
    with pytest.raises(GlossaError, match="expected the 2 processes that score to finish, but one of them was killed"):
        run.run(scorer, Examples.open(paths.examples("one")), TEXTS, context, lambda part: None, find=shards.find)


def test_models_that_have_to_be_loaded_are_not_loaded_twice() -> None:
    entry = {"kind": "detection", "model": {"provider": "transformers", "model": "somewhere"}}
    items = run.Items(Examples.open(paths.examples("one")), list(LATENTS), TEXTS, {})
    assert shards.processes(scorers.load("x", entry), items) == 1


def test_what_processes_tell_is_put_together() -> None:
    facts = [
        {"models_answered": ["b"], "mismarked": 0.2, "probabilities": {"exact": 3, "missing": 1}},
        {"models_answered": ["a", "b"], "mismarked": 0.2, "probabilities": {"exact": 2, "bounded": 1}},
        {"mismarked": 0.2},
    ]
    assert shards.joined(facts) == {
        "models_answered": ["a", "b"],
        "mismarked": 0.2,
        "probabilities": {"bounded": 1, "exact": 5, "missing": 1},
    }
