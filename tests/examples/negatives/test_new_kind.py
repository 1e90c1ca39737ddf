"""What it takes to add a source of negatives: a file and a line, after which it is everywhere where it is asked for and nowhere else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from stages import params, paths
from stages.cli import main
from stages.errors import GlossaError
from stages.examples.table import Examples
from stages.latents.store import LatentStore
from stages.provenance import accounted, examples
from stages.provenance.project import Project
from stages.similarity import table as similarity
from stages.wiring import fingerprints
from tests.folders import tree
from tests.test_tokenize import edit

ROOT = Path(__file__).parents[3]
UNIT = '''\
"""``earliest``: the first silent windows of the corpus."""

import numpy as np

from stages.examples.negatives.pick import first, found


class Earliest:
    facts = {"from": "the start"}

    def __init__(self, blocks):
        self._blocks = blocks

    def find(self, batch, n):
        tried = np.tile(self._blocks, (batch.n_latents, 1))
        return found(first(tried, batch.busy, n, np.arange(batch.n_latents)))


def source(setting):
    return Earliest(np.arange(setting.grid.n_blocks))
'''
FIRST = '    "random": "stages.examples.negatives.random",\n'
ADDED = '    "earliest": "stages.examples.negatives.earliest",\n'
RUN = """
import sys
from stages.cli import main
for command in sys.argv[1:]:
    main(command.split(), standalone_mode=False)
"""
FINGERPRINTS = """
import json, sys
from pathlib import Path
from stages import params
from stages.wiring import fingerprints
print(json.dumps([fingerprints.current(params.load(Path(file))) for file in sys.argv[1:]]))
"""
ASKED = {"random": 10, "earliest": 4, "surface": 3}
CHOICE = {"rule": "all", "compared": 0, "of": 0, "left_out": {}}


def python(code: Path, *arguments: str) -> str:
    """What this Python prints in the current folder with Glossa as it is in ``code``."""
    environment = os.environ | {"PYTHONPATH": str(code)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Glossa with another kind of negatives, before all others."""
    folder = tmp_path_factory.mktemp("code")
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "stages/examples/negatives/earliest.py").write_text(UNIT)
    edit(folder / "stages/registry.py", FIRST, ADDED + FIRST)
    return folder


@pytest.fixture
def cached(workplace: Path, finished_workplace: Path) -> Path:
    """The working folder after tokenize and cache, with an explainer, two scorers and one coder."""
    for name in ("tokens", "latents"):
        shutil.copytree(finished_workplace / "data" / name, workplace / "data" / name)
    edit(workplace / "params.yaml", "  two: {path: coders/two, hookpoint: layers.1}\n", "")
    with (workplace / "params.yaml").open("a") as file:
        judge = "model: {provider: pattern}"
        file.write(f"scorers:\n  words: {{kind: detection, {judge}}}\n  marks: {{kind: fuzzing, {judge}}}\n")
    return workplace


def ask(workplace: Path, **negatives: int) -> None:
    """Has so many negatives taken for the test."""
    yaml = YAML()
    found = yaml.load(workplace / "params.yaml")
    found["sampling"]["test"]["negatives"] = negatives
    yaml.dump(found, workplace / "params.yaml")


def test_who_does_not_ask_for_a_new_kind_has_the_same_fingerprints_and_bytes(
    code: Path, cached: Path, finished_workplace: Path
) -> None:
    python(code, "-c", RUN, "sample one")
    assert tree(cached / "data/examples/one") == tree(finished_workplace / "data/examples/one")
    here = fingerprints.current(params.load())
    shutil.copy("params.yaml", "silent.yaml")
    ask(cached, random=10, earliest=0)
    shutil.copy("params.yaml", "none.yaml")
    ask(cached, **ASKED)
    silent, none, asking = json.loads(python(code, "-c", FINGERPRINTS, "silent.yaml", "none.yaml", "params.yaml"))
    assert silent == none == here
    assert fingerprints.changes(here, asking) == ["coders.one.sample", "report"]
    assert asking["coders.one.sample"].split()[1] != here["coders.one.sample"].split()[1], "its code counts"


def test_a_new_kind_is_in_all_that_is_made_and_shown(code: Path, cached: Path) -> None:
    ask(cached, **ASKED)
    with pytest.raises(GlossaError, match=r"sampling\.test\.negatives has no key 'earliest'; known are neighbour, ran"):
        params.load()
    commands = (
        "sample one",
        "explain one pattern",
        "score one pattern words",
        "score one pattern marks",
        "report",
    )
    none = similarity.Content(
        similarity.matches_schema().empty_table(), similarity.splits_schema().empty_table(), {}, {}, {}
    )
    similarity.write(paths.SIMILARITY, none._replace(meta={"pairs": [], "ceilings": {}, "choice": CHOICE}))
    python(code, "-c", RUN, *commands)
    found, store = Examples.open(paths.examples("one")), LatentStore.open(paths.latents("one"))
    assert found.meta["negatives"] == {"random": {}, "surface": {}, "earliest": {"from": "the start"}}
    for latent in found:
        numbers = latent.facts["n_negatives"]
        assert latent.negative.kinds == [
            kind for kind in ("earliest", "random", "surface") for _ in range(numbers[kind])
        ]
        assert numbers["earliest"] == 4
        fires = np.unique(store.latent(latent.latent)[0] // 8)
        assert (
            latent.negative.starts[:4].tolist()
            == (8 * np.setdiff1d(np.arange(found.meta["windows"]), fires)[:4]).tolist()
        )

    of_words, of_marks = ["earliest", "random", "surface"], ["earliest", "random", "surface", "mismarked"]
    scores = json.loads(Path("results/plots/measures.json").read_text())["scores"]["one"]["pattern"]
    assert set(scores["words"]["negatives"]) == set(of_words)
    assert set(scores["marks"]["negatives"]) == set(of_marks)
    page = Path("results/report/index.html").read_text()
    heads = [part.partition("<span>negatives</span>")[0] for part in page.split('<th scope="col" class="number">')]
    assert [head for head in heads if head in of_marks] == of_marks
    assert "earliest" in Path("results/dataset/README.md").read_text()
    shared = pq.read_table("results/dataset/verdicts/one.parquet", columns=["kind"])["kind"]
    assert set(shared.to_pylist()) >= set(of_marks)
    _lines(python(code, "-c", RUN, f"show one {found.kept[0]}"), of_words, of_marks)

    # Whoever pulls these results into a Glossa that does not know the kind reads and checks them all the same.
    ask(cached, random=10, surface=3)
    shown = CliRunner().invoke(main, ["show", "one", str(found.kept[0])])
    _lines(shown.output, ["random", "surface", "earliest"], ["random", "surface", "earliest", "mismarked"])
    assert CliRunner().invoke(main, ["report"]).exit_code == 0
    assert json.loads(Path("results/plots/measures.json").read_text())["scores"]["one"]["pattern"] == scores
    for check in (*accounted.checks(Project.here()), *examples.checks(Project.here())):
        assert check.checked
        assert not check.failures, check


def _lines(output: str, *kinds: list[str]) -> None:
    """The kinds that ``glossa show`` names beside each score."""
    parts = [line.partition("by negatives: ")[2] for line in output.splitlines() if "by negatives" in line]
    assert [[kind.split()[0] for kind in part.split(", ")] for part in parts] == [*kinds], output
