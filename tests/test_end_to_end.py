"""The real thing, smaller: `dvc repro` in a temporary clone, with the toy subject, two of its coders and a short corpus."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import warm

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def clone(folder: Path) -> Path:
    """A clone of the repository as it stands, with the params.yaml of the toy, cut down."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file() and not name.endswith("dvc.lock"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    yaml = YAML()
    params = yaml.load(folder / "tests/toy/params.yaml")
    params["corpus"] |= {"packages": ["zarr", "openai"], "tokens": 25_600}
    params["coders"] = {name: params["coders"][name] for name in ("resid2", "mlp2")}
    params["sampling"] |= {"latents": {"first": 12}, "min_activations": 100}
    # One that asks a judge, one that embeds, one that runs the subject, one that needs no explanation.
    kept = ("fuzzing", "embedding", "intervention", "intruder")
    params["scorers"] = {name: {**params["scorers"][name], "latents": 4} for name in kept}
    yaml.dump(params, folder / "params.yaml")
    run(folder, "git", "init", "-q")
    run(folder, "glossa", "wire")
    return folder


def run(folder: Path, *command: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": path or f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
        "DVC_NO_ANALYTICS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    for name in ("GLOSSA_HOME", "DVC_ROOT"):
        environment.pop(name, None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


def outs(folder: Path) -> dict[str, str]:
    locks = [YAML(typ="safe").load(file) for file in (folder / "dvc.lock", *folder.glob("pipelines/*/dvc.lock"))]
    stages = [stage for lock in locks for stage in lock["stages"].values()]
    return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", ())}


@pytest.fixture(scope="module")
def repro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("first"))
    run(folder, "dvc", "repro")
    return folder


def test_every_stage_leaves_its_output(repro: Path) -> None:
    assert (repro / "results/report/index.html").is_file()
    assert (repro / "results/report/data/resid2/latents/0.js").is_file()
    metrics: dict[str, Any] = json.loads((repro / "results/metrics.json").read_text())
    assert "resid2" in json.dumps(metrics)
    stray = [path for path in (repro / "data").rglob(".*") if path.name.endswith(".partial")]
    assert stray == []
    assert not any((repro / ".glossa/scratch").iterdir())


def test_a_second_repro_runs_nothing(repro: Path) -> None:
    assert "Running stage" not in run(repro, "dvc", "repro").stdout
    assert run(repro, "glossa", "wire", "--check").returncode == 0


def test_another_clone_gets_the_same_bytes_whatever_is_killed_on_the_way(
    repro: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stages need not import here, so that more of them is hit; the long form, with a server that is asked, is benchmarks/kills.py."""
    from benchmarks import kills

    second = clone(tmp_path / "second")
    environment = kills.environment
    monkeypatch.setattr(kills, "environment", lambda folder: environment(folder) | {"PATH": warm.path()})
    hit, _ = kills.harried(second, 4, random.Random(0))
    assert hit.total() == 4
    run(second, "dvc", "repro", path=warm.path())
    assert outs(second) == outs(repro)
    assert len(outs(second)) >= 3 + 2 * 6


def test_a_latent_can_be_shown(repro: Path) -> None:
    shown = run(repro, "glossa", "show", "resid2", "3").stdout
    assert "resid2" in shown
    assert "\x1b" not in shown
