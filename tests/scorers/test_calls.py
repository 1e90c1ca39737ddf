"""How many calls judging takes, by a server on the loopback: as many as the design says, and as were foretold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages import params
from stages.cli import main
from stages.estimate.pending import Pending
from stages.params import LATENT
from stages.wiring.coder import stage_of
from tests.llm.asking import JUDGE, runtime_yaml
from tests.llm.scripted_server import Asked, Server
from tests.scorers.on_disk import Latent, firing, furnish, silent

LATENTS = {number: Latent(firing(1, 100, 10, seed=number), silent(100, seed=50 + number)) for number in range(2)}
SCORERS = {kind: {"kind": kind, "model": JUDGE} for kind in ("detection", "fuzzing", "intruder")}
CALLS = {"detection": 40, "fuzzing": 40, "intruder": 10}
"""Of an explanation, by 100 windows in which the latent fires and 100 in which it does not, five to a prompt; of a latent, one trial
for each decile."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.chdir(tmp_path)
    furnish(LATENTS, {"right": {0: "cats", 1: "dogs"}}, SCORERS, per_decile=10, random=100)
    with Server() as server:
        runtime_yaml(server.url, concurrency=8)
        yield server


def is_probe(asked: Asked) -> bool:
    return "lighthouse" in str(asked.body) or "about the sea" in str(asked.body)


def test_calls_match_the_design_and_are_foretold(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = {scorer: ("one", LATENT if scorer == "intruder" else "right", scorer) for scorer in SCORERS}
    changed = {stage_of(params.load(), *stage): ["always changed"] for stage in stages.values()}
    monkeypatch.setattr(Pending, "from_dvc", lambda p: Pending(p, changed))
    result = CliRunner().invoke(main, ["estimate", "--json"])
    assert result.exit_code == 0, result.output
    said = {line["stage"]: line["to_send"] for line in json.loads(result.stdout)["stages"]}
    for scorer, stage in stages.items():
        server.calls.clear()
        result = CliRunner().invoke(main, ["score", *stage])
        assert result.exit_code == 0, (result.output, result.exception)
        sent = sum(not is_probe(asked) for asked in server.calls)
        # Two latents; explanations are judged for the floor as well.
        assert sent == said[f"score {' '.join(stage)}"] == CALLS[scorer] * (2 if scorer == "intruder" else 4)
