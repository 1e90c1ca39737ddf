"""The real thing, smaller: `dvc repro` in a temporary clone, with the toy subject, two of its coders and a short corpus."""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML
from safetensors.torch import load_file

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
    assert (repro / "results/metrics/resid2.json").is_file()
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


SETS = {
    "stages.scorers": "SCORERS_OF_EXPLANATIONS",
    "stages.explainers": "EXPLAINERS",
    "stages.llm.providers": "PROVIDERS",
    "stages.coders.readers": "READERS",
    "stages.examples.negatives": "NEGATIVES",
    "stages.exports": "EXPORTS",
}
"""Where the registry lists the units of a room."""


def units() -> dict[str, str]:
    """{file: its text} of the units that CONTRIBUTING.md shows, one of each kind."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text[text.index("## Add a unit") : text.index("## Change code")]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    files = [part.rpartition("In `")[2].split("`")[0] for part in section.split("```python\n")[:-1]]
    lines = re.findall(r"^`(\w+)`(?: in the registry)?: `(\".*\",)`", section, re.MULTILINE)
    assert [name for name, _ in lines] == list(SETS.values())
    for file, (name, line) in zip(files, lines, strict=True):
        module = file.removesuffix(".py").replace("/", ".")
        assert SETS[module.rpartition(".")[0]] == name
        assert line == f'"{module.rpartition(".")[2]}": "{module}",'
    return dict(zip(files, blocks, strict=True))


def ran(folder: Path, *options: str) -> set[str]:
    """Runs ``dvc repro`` and returns the stages that it ran."""
    printed = run(folder, "dvc", "repro", *options).stdout
    return {
        name.replace("pipelines/", "").replace("/dvc.yaml", "")
        for name in re.findall(r"Running stage '(.+)':", printed)
    }


def test_a_unit_of_each_kind_is_added_as_contributing_says(repro: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(repro, folder, symlinks=True)
    registry = folder / "stages/registry.py"
    for file, text in units().items():
        (folder / file).write_text(text, encoding="utf-8")
        module = file.removesuffix(".py").replace("/", ".")
        room, _, name = module.rpartition(".")
        lines = registry.read_text(encoding="utf-8")
        head = f"{SETS[room]} = {{\n"
        assert lines.count(head) == 1
        registry.write_text(lines.replace(head, f'{head}    "{name}": "{module}",\n'), encoding="utf-8")
    assert ran(folder) == {"code"}

    tensors = load_file(folder / "tests/toy/coders/resid2/sae.safetensors")
    arrays = {name: tensors[key].float().numpy() for name, key in (("W_enc", "encoder.weight"), ("W_dec", "W_dec"))}
    biases = {name: tensors[key].float().numpy() for name, key in (("b_enc", "encoder.bias"), ("b_dec", "b_dec"))}
    np.savez(folder / "mine.npz", W_enc=arrays["W_enc"].T, W_dec=arrays["W_dec"], **biases)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["coders"]["mine"] = {"path": "mine.npz", "format": "npz", "hookpoint": "layers.2"}
    params["explainers"]["strongest"] = {"kind": "strongest"}
    params["models"]["yes"] = {"provider": "credulous"}
    for name in ("intervention", "embedding", "intruder"):  # they take long to start, and have nothing to do with it
        del params["scorers"][name]
    params["scorers"] |= {"overlap": {"kind": "overlap"}, "believed": {"kind": "detection", "model": "yes"}}
    yaml.dump(params, folder / "params.yaml")
    run(folder, "glossa", "wire")
    new = {"explain@strongest", "score@pattern-overlap", "score@pattern-believed"}
    new |= {f"score@strongest-{scorer}" for scorer in ("fuzzing", "overlap", "believed")}
    found = ran(folder)
    assert {name for name in found if not name.startswith("mine:")} == {
        *(f"{coder}:{stage}" for coder in ("resid2", "mlp2") for stage in new),
        "code",
        "compare",
        "report",
    }
    assert {name for name in found if name.startswith("mine:")} >= {
        f"mine:{stage}" for stage in ("cache", "sample", *new)
    }

    assert "overlap" in (folder / "results/metrics/resid2.json").read_text()
    audited = run(folder, "glossa", "audit").stdout
    assert "Nothing differs" in audited
    assert "believed: no score, as the judge said yes to all" in audited
    assert "stages that name a language model are up to date" in run(folder, "glossa", "estimate").stdout
    assert "sentences" in run(folder, "glossa", "export", "--help").stdout
    run(folder, "glossa", "export", "sentences", "out")
    assert 'Fires on "' in (folder / "out/sentences.txt").read_text(encoding="utf-8")

    params["sampling"]["test"]["negatives"]["early"] = 2
    yaml.dump(params, folder / "params.yaml")
    run(folder, "glossa", "code")
    assert ran(folder, "-s", "pipelines/resid2/dvc.yaml:sample") == {"resid2:sample"}
    kinds = pq.read_table(folder / "data/examples/resid2/windows.parquet")["kind"].to_pylist()
    assert "early" in kinds
