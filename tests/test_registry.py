"""Units of other packages, found by their entry points, run and counted as ours are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tests.clones import ROOT, Clone

SHOUT = '''"""``shout``: says a word loudly."""

from typing import Literal

from others.words import loud
from stages.explainers import Explainer
from stages.explainers.table import Explanation


class Options(Explainer):
    """The entry ``{kind: shout}``."""

    kind: Literal["shout"]
    word: str = "word"

    def explain(self, latents, tokens):
        """Says the same of every latent."""
        for latent in latents:
            yield Explanation(latent.latent, loud(self.word), None, {})
'''
COUNTED = '''"""``counted``: how many latents there are."""


def write(p, folder):
    """Writes a number."""
    (folder / "coders.txt").write_text(str(len(p.coders)))
    return f"{len(p.coders)} coders"
'''


class Package:
    """The package ``others`` as pip would leave it in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("others/__init__.py", "")
        self.write("others/shout.py", SHOUT)
        self.write("others/counted.py", COUNTED)
        self.write(
            "others/words.py", "def loud(text):\n    return text.upper()\n\n\ndef quiet(text):\n    return text\n"
        )
        self.write("others-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
        self.offer("[glossa.explainers]\nshout = others.shout\n\n[glossa.exports]\ncounted = others.counted\n")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def offer(self, entry_points: str) -> None:
        self.write("others-1.0.dist-info/entry_points.txt", entry_points)

    def glossa(self, *args: str, at: Path, code: int = 0) -> str:
        """What the command says where the package is installed; its errors where it fails."""
        where = os.pathsep.join([str(at if (at / "stages").is_dir() else ROOT), str(self.folder)])
        done = subprocess.run(
            [sys.executable, "-m", "stages", *args],
            cwd=at,
            env={**os.environ, "PYTHONPATH": where},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return Package(tmp_path / "site")


def test_a_unit_of_another_package_runs(package: Package, finished_workplace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(finished_workplace, folder, symlinks=True)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["explainers"] = {"loud": {"kind": "shout", "word": "fires"}}
    yaml.dump(params, folder / "params.yaml")
    coder = next(iter(params["coders"]))
    package.glossa("explain", coder, "loud", at=folder)
    said = pq.read_table(folder / f"data/explanations/{coder}/loud/explanations.parquet")["explanation"].to_pylist()
    assert said
    assert set(said) == {"FIRES"}
    assert "counted" in package.glossa("export", "--help", at=folder)
    package.glossa("export", "counted", "out", at=folder)
    assert (folder / "out/coders.txt").read_text() == str(len(params["coders"]))


def test_its_code_is_part_of_fingerprints(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    clone.params["explainers"]["loud"] = {"kind": "shout"}
    clone.write_params()

    def fingerprints() -> dict[str, str]:
        package.glossa("code", at=clone.folder)
        return dict(json.loads((clone.folder / "fingerprints.json").read_text())["coders"]["one"]["explain"])

    before = fingerprints()
    package.write(
        "others/words.py", "def loud(text):\n    return text.upper()\n\n\ndef quiet(text):\n    return text.lower()\n"
    )
    assert fingerprints() == before, "what it does not reach counts for nothing"
    package.write("others/words.py", "def loud(text):\n    return text.title()\n")
    changed = fingerprints()
    assert changed["loud"] != before["loud"]
    assert changed["pattern"] == before["pattern"]


def test_what_the_code_stage_depends_on(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    package.glossa("wire", at=clone.folder)
    ours = (clone.folder / "dvc.yaml").read_text()
    clone.params["explainers"]["loud"] = {"kind": "shout"}
    clone.write_params()
    package.glossa("wire", at=clone.folder)
    assert "      - constraints.txt\n" in (clone.folder / "dvc.yaml").read_text()
    assert "      - constraints.txt\n" not in ours.replace("tokenize.data\n    deps:\n      - constraints.txt\n", "")

    installed = Package(clone.folder / ".venv/lib/site-packages")
    installed.glossa("wire", at=clone.folder)
    assert "site-packages" not in (clone.folder / "dvc.yaml").read_text()

    inside = Package(clone.folder / "lib")
    inside.glossa("wire", at=clone.folder)
    assert "      - lib/others\n" in (clone.folder / "dvc.yaml").read_text()


def test_a_name_that_is_taken_is_refused(package: Package, tmp_path: Path) -> None:
    package.offer("[glossa.explainers]\npattern = others.shout\n")
    said = package.glossa("export", "--help", at=tmp_path, code=1)
    assert said == (
        "Error: the package others offers a unit pattern in glossa.explainers, but there is one of that name, "
        "stages.explainers.pattern; rename it there, or uninstall the package\n"
    )


def test_a_unit_that_is_gone_is_named(package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = Clone(tmp_path / "clone")
    monkeypatch.chdir(clone.folder)
    clone.params["explainers"]["loud"] = {"kind": "shout"}
    clone.write_params()
    (package.folder / "others/shout.py").unlink()
    said = package.glossa("code", at=clone.folder, code=1)
    assert said == (
        "Error: expected the module others.shout in others/shout.py, but there is no such file; install its package again, "
        "or another version\n"
    )
