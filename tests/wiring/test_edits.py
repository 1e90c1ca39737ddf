"""Nothing that can change a byte escapes: constants that stages executed are edited, and who makes something else must run again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.wiring.conftest import Finished
from tests.wiring.edits import Outcome, constants, edits

N = int(os.environ.get("GLOSSA_TEST_EDITS", "1"))
"""Edits with a fixed seed; thirty are a quarter of an hour, and enough for the share to mean something."""

ENOUGH = 10


@pytest.mark.timeout(60 * 60)
def test_whoever_makes_something_else_runs_again_and_few_run_for_nothing(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(constants(finished)) > 1000
    outcomes: list[Outcome] = []
    for outcome in edits(finished, seed=N, n=N, spare=tmp_path):
        constant, new, rerun, changed = outcome
        with capsys.disabled():
            where = f"{constant.file}:{constant.line} {constant.definition}: {constant.value!r} -> {new!r}"
            print(
                f"\n{where}\n  run again {len(rerun)}, something else from {len(changed & rerun)}: {', '.join(sorted(rerun))}"
            )
        assert changed - rerun == set(), outcome
        outcomes.append(outcome)
    ran = sum(len(outcome.rerun) for outcome in outcomes)
    of_use = sum(len(outcome.rerun & outcome.changed) for outcome in outcomes)
    with capsys.disabled():
        print(f"\n{of_use} of {ran} stages that ran again made something else")
    assert ran
    if len(outcomes) >= ENOUGH:
        assert of_use >= ran / 2
