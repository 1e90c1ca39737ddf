"""What reruns after which change: dvc.yaml as it is, run by DVC in a copy of the repository with a stub for ``glossa``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from tests.clones import ROOT, Clone

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie

ENDS = {"compare", "report"}
CACHES, SAMPLES = {"cache@one", "cache@two"}, {"sample@one", "sample@two"}
EXPLAINS = {"explain-pattern@one", "explain-pattern@two"}
DETECTIONS = {"score-detection@one-pattern", "score-detection@two-pattern"}
FUZZINGS = {"score-fuzzing@one-pattern", "score-fuzzing@two-pattern"}
ALL = {"tokenize", *CACHES, *SAMPLES, *EXPLAINS, *DETECTIONS, *FUZZINGS, *ENDS}


@contextmanager
def untraced() -> Iterator[None]:
    """Measures no coverage, for nothing of ours runs here and DVC would take three times as long."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)


class Pipeline(Clone):
    """A copy of the repository that DVC runs."""

    up_to_date = False

    def repro(self) -> set[str]:
        """Runs ``dvc repro`` and returns the stages that ran, as the stub noted them."""
        self.up_to_date = False
        self.write("ran.log", "")
        with untraced(), Repo(str(self.folder)) as repo:
            repo.reproduce()
        self.up_to_date = True
        ran = (self.folder / "ran.log").read_text().split()
        assert len(ran) == len(set(ran))
        return set(ran)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The copy, in which everything has run once; the current folder."""
    pipeline = Pipeline(tmp_path_factory.mktemp("pipeline"))
    subprocess.run(["git", "init", "--quiet"], cwd=pipeline.folder, check=True)
    pipeline.write("bin/glossa", f'#!/bin/sh\nexec "{sys.executable}" -IS "{ROOT}/tests/stub_glossa.py" "$@"\n')
    (pipeline.folder / "bin/glossa").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch, chdir(pipeline.folder):
        patch.setenv("PATH", str(pipeline.folder / "bin"), prepend=os.pathsep)
        patch.setenv("DVC_NO_ANALYTICS", "1")
        for variable in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR"):
            patch.setenv(variable, str(tmp_path_factory.mktemp("dvc")))
        pipeline.wire()
        assert pipeline.repro() == ALL
        yield pipeline


@pytest.fixture
def pipeline(built: Pipeline) -> Pipeline:
    """The copy with everything up to date, whatever the tests before have changed in it."""
    if not built.up_to_date:
        built.wire()
        built.repro()
    return built


def nothing(pipeline: Pipeline) -> None:
    """Changes nothing."""


def setting(*keys: str, value: Any) -> Callable[[Pipeline], None]:
    def change(pipeline: Pipeline) -> None:
        section = pipeline.params
        for key in keys[:-1]:
            section = section[key]
        section[keys[-1]] = value
        pipeline.write_params()

    return change


def comment(file: str) -> Callable[[Pipeline], None]:
    assert (ROOT / file).is_file()
    return lambda pipeline: pipeline.append(file, "# a comment\n")


def weights(pipeline: Pipeline) -> None:
    pipeline.write("demo/coders/two/sae.safetensors", "other weights")


def what_no_stage_reads(pipeline: Pipeline) -> None:
    pipeline.append("runtime.yaml", "# another device, another batch size\n")
    pipeline.append("stages/cli.py", "# a comment\n")
    setting("models", value={"unused": {"provider": "pattern"}})(pipeline)


def branch(coder: str) -> set[str]:
    return {stage for stage in ALL if stage.partition("@")[2].split("-")[0] == coder}


CHANGES: dict[str, tuple[Callable[[Pipeline], None], set[str]]] = {
    "nothing": (nothing, set()),
    "runtime.yaml, the command line and an unused model": (what_no_stage_reads, set()),
    "a scorer": (setting("scorers", "fuzzing", "threshold", value=0.5), FUZZINGS | {"report"}),
    "a coder": (setting("coders", "one", "hookpoint", value="layers.0"), branch("one") | ENDS),
    "a coder's weights": (weights, branch("two") | ENDS),
    "the sampling": (setting("sampling", "window", value=16), ALL - CACHES - {"tokenize"}),
    "the embedder of compare": (setting("compare", "embedder", value="other"), ENDS),
    "the report": (setting("report", "examples", value=3), {"report"}),
    "a comment in a scorer": (comment("stages/scorers/fuzzing.py"), FUZZINGS),
    "a comment in a shared module": (comment("stages/latents/spec.py"), CACHES | SAMPLES | ENDS),
    "a comment in a room that explain and score use": (
        comment("stages/llm/openai.py"),
        EXPLAINS | DETECTIONS | FUZZINGS,
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_what_it_concerns_and_nothing_else(pipeline: Pipeline, change: str) -> None:
    edit, expected = CHANGES[change]
    edit(pipeline)
    assert pipeline.repro() == expected


CODE = {
    "stages/scorers/fuzzing.md": FUZZINGS,
    "stages/scorers/classifier.py": DETECTIONS | FUZZINGS,
    "stages/llm/pattern.py": EXPLAINS | DETECTIONS | FUZZINGS,
    "stages/llm/openai.py": EXPLAINS | DETECTIONS | FUZZINGS,
    "stages/explainers/pattern.py": EXPLAINS,
    "stages/tokenize.py": {"tokenize"},
    "stages/subject/hookpoints.py": CACHES | {"compare"},
    "stages/similarity/match.py": {"compare"},
    "stages/publish/site/overview.html": {"report"},
    "stages/publish/site/assets/site.css": {"report"},
    "stages/params.py": ALL,
}


def test_code_concerns_the_stages_that_run_it(built: Pipeline) -> None:
    with Repo(str(built.folder)) as repo:
        deps = {stage.addressing: {dep.def_path for dep in stage.deps} for stage in repo.index.stages}
    found = {
        file: {stage for stage, paths in deps.items() if paths & {file, *map(str, Path(file).parents)}} for file in CODE
    }
    assert found == CODE


def test_a_coder_is_added_and_removed(pipeline: Pipeline) -> None:
    pipeline.write("demo/coders/three/sae.safetensors", "three")
    pipeline.params["coders"]["three"] = {"path": "demo/coders/three", "hookpoint": "layers.3"}
    pipeline.write_params()
    pipeline.wire()
    before = (pipeline.folder / "results/metrics.json").read_text()
    assert pipeline.repro() == {stage.replace("one", "three") for stage in branch("one")} | ENDS
    assert (pipeline.folder / "results/metrics.json").read_text() != before

    del pipeline.params["coders"]["three"]
    pipeline.write_params()
    pipeline.wire()
    assert pipeline.repro() == set(), "DVC restores what compare and report made before"
    assert (pipeline.folder / "results/metrics.json").read_text() == before
    assert (pipeline.folder / "data/scores/three").is_dir(), "nothing is deleted"


def test_a_scorer_is_added_and_another_removed(pipeline: Pipeline) -> None:
    pipeline.params["scorers"]["embedding"] = {"kind": "embedding"}
    pipeline.write_params()
    pipeline.wire()
    assert pipeline.repro() == {"score-embedding@one-pattern", "score-embedding@two-pattern", "report"}

    del pipeline.params["scorers"]["detection"]
    pipeline.write_params()
    pipeline.wire()
    assert pipeline.repro() == {"report"}


def test_activations_are_not_pushed_and_the_metrics_stay_in_git(built: Pipeline) -> None:
    with Repo(str(built.folder)) as repo:
        outs = {out.def_path: out for out in repo.index.outs}
    assert {path for path, out in outs.items() if not out.can_push} == {
        "data/latents/one.zarr",
        "data/latents/two.zarr",
    }
    assert {path for path, out in outs.items() if not out.use_cache} == {"results/metrics.json"}
    assert shutil.which("glossa") == str(built.folder / "bin/glossa")
