"""What reruns after which change: the pipeline as it is, run by DVC in a copy of the repository with a stub for the stages but `code`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from tests import warm
from tests.clones import ROOT, Clone

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie

ENDS = {"compare", "report"}
CACHES, SAMPLES = {"one:cache", "two:cache"}, {"one:sample", "two:sample"}
EXPLAINS = {"one:explain@pattern", "two:explain@pattern"}
DETECTIONS = {"one:score@pattern-detection", "two:score@pattern-detection"}
FUZZINGS = {"one:score@pattern-fuzzing", "two:score@pattern-fuzzing"}
SCORES = DETECTIONS | FUZZINGS
NAMED = ("coders", "explainers", "scorers")
ALL = {"tokenize", *CACHES, *SAMPLES, *EXPLAINS, *SCORES, *ENDS}
SHIM = """\
#!/bin/sh
case $1 in
code|wire) PYTHONPATH="$PWD" exec "{glossa}" "$@" ;;
*) exec "{python}" -IS "{root}/tests/stub_glossa.py" "$@" ;;
esac
"""


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

    def repro(self) -> set[str]:
        """Runs ``dvc repro`` and returns the stages that ran, as the stub noted them."""
        self.write("ran.log", "")
        with untraced(), Repo(str(self.folder)) as repo:
            repo.reproduce()
        ran = (self.folder / "ran.log").read_text().split()
        assert len(ran) == len(set(ran))
        return set(ran)

    def wire(self) -> str:
        """Runs ``glossa wire`` with the code of the copy, whatever it has become."""
        done = subprocess.run(["bin/glossa", "wire"], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def edit(self, name: str, old: str, new: str) -> None:
        """Puts ``new`` in the place of what stands once in a file."""
        text = (self.folder / name).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The copy, in which everything has run once; the current folder."""
    pipeline = Pipeline(tmp_path_factory.mktemp("pipeline"))
    subprocess.run(["git", "init", "--quiet"], cwd=pipeline.folder, check=True)
    pipeline.write("bin/glossa", SHIM.format(glossa=warm.folder() / "bin/glossa", python=sys.executable, root=ROOT))
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
def pipeline(built: Pipeline) -> Iterator[Pipeline]:
    """The copy; afterwards its files are as they were. What a test has run again DVC then restores, which is not to run it."""
    before, code = json.dumps(built.params), _contents(built.folder / "stages")
    weights = (built.folder / "demo/coders/two/sae.safetensors").read_text()
    yield built
    for file, content in _contents(built.folder / "stages").items():
        if file not in code:
            file.unlink()
        elif content != code[file]:
            file.write_bytes(code[file])
    if json.dumps(built.params) != before:
        is_wired = [list(built.params[section]) for section in NAMED] == [
            list(json.loads(before)[section]) for section in NAMED
        ]
        built.params = json.loads(before)
        built.write_params()
        if not is_wired:
            built.wire()
    built.write("demo/coders/two/sae.safetensors", weights)


def _contents(folder: Path) -> dict[Path, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc")
    return {file: file.read_bytes() for file in files}


def setting(*keys: str, value: Any) -> Callable[[Pipeline], None]:
    def change(pipeline: Pipeline) -> None:
        section = pipeline.params
        for key in keys[:-1]:
            section = section.setdefault(key, {})
        section[keys[-1]] = value
        pipeline.write_params()

    return change


def appended(file: str, text: str) -> Callable[[Pipeline], None]:
    assert (ROOT / file).is_file()
    return lambda pipeline: pipeline.append(file, text)


def edited(file: str, old: str, new: str) -> Callable[[Pipeline], None]:
    return lambda pipeline: pipeline.edit(file, old, new)


def unit(file: str, like: str, line: str, after: str) -> Callable[[Pipeline], None]:
    """Adds a unit: its file, a copy of another's, and its line in the registry."""

    def change(pipeline: Pipeline) -> None:
        pipeline.write(file, (pipeline.folder / like).read_text() + "\n\nOWN = 1\n")
        pipeline.edit("stages/registry.py", after, f"{after}\n    {line}")

    return change


def weights(pipeline: Pipeline) -> None:
    pipeline.write("demo/coders/two/sae.safetensors", "other weights")


def what_no_stage_reads(pipeline: Pipeline) -> None:
    pipeline.append("runtime.yaml", "# another device, another batch size\n")
    setting("models", value={"unused": {"provider": "pattern"}})(pipeline)


def everywhere(change: Callable[[str], str]) -> Callable[[Pipeline], None]:
    """Changes every Python file of the package."""

    def apply(pipeline: Pipeline) -> None:
        for file in (pipeline.folder / "stages").rglob("*.py"):
            file.write_text(change(file.read_text()))

    return apply


def reformatted(text: str) -> str:
    """The same code, with blank lines and a comment before every definition, and all docstrings of one line changed."""
    text = re.sub(r"^(def|class|@)", r"# a comment\n\n\n\1", text, flags=re.MULTILINE)
    return re.sub(r'^( +)"""[^"\n]*"""$', r'\1"""Another docstring."""', text, flags=re.MULTILINE)


def branch(coder: str) -> set[str]:
    return {stage for stage in ALL if stage.startswith(f"{coder}:")}


SCORER = "SCORERS_OF_EXPLANATIONS = {"
NOTHING: dict[str, Callable[[Pipeline], None]] = {
    "runtime.yaml and an unused model": what_no_stage_reads,
    "comments, docstrings and blank lines everywhere": everywhere(reformatted),
    "the code of a runtime knob": edited("stages/machine/runtime.py", "PROCESSES = 4", "PROCESSES = 8"),
    "the code of progress bars": edited(
        "stages/machine/progress.py", "SHOW_AFTER_SECONDS = 1.5", "SHOW_AFTER_SECONDS = 3"
    ),
    "the command line": appended("stages/cli.py", "\n\nOWN = 1\n"),
    "how the pipeline is wired": edited("stages/wiring/artifacts.py", "Explanations of the", "What is said of the"),
    "a new scorer": unit(
        "stages/scorers/new.py", "stages/scorers/detection.py", '"new": "stages.scorers.new",', SCORER
    ),
    "a new explainer": unit(
        "stages/explainers/new.py", "stages/explainers/none.py", '"new": "stages.explainers.new",', "EXPLAINERS = {"
    ),
    "a new provider": unit(
        "stages/llm/new.py", "stages/llm/providers/pattern.py", '"new": "stages.llm.new",', "PROVIDERS = {"
    ),
    "a new source of negatives": unit(
        "stages/examples/negatives/new.py",
        "stages/examples/negatives/random.py",
        '"new": "stages.examples.negatives.new",',
        "NEGATIVES = {",
    ),
    "a new export": unit(
        "stages/exports/new.py",
        "stages/exports/jsonl.py",
        '"new": "stages.exports.new",',
        "EXPORTS = {",
    ),
    "a new reader": unit(
        "stages/coders/readers/new.py",
        "stages/coders/readers/plain.py",
        '"new": "stages.coders.readers.new",',
        "READERS = {",
    ),
    "a provider": edited(
        "stages/llm/providers/openai.py",
        "from __future__ import annotations",
        "from __future__ import annotations\n\nassert True",
    ),
    "a reader of another format": edited(
        "stages/coders/readers/openai.py",
        "from __future__ import annotations",
        "from __future__ import annotations\n\nassert True",
    ),
    "a model by its name": setting("models", "judge", "confidence", value=0.7),
    "a default that is not used": edited("stages/params/corpus.py", 'split: str = "train"', 'split: str = "test"'),
}
"""What is no part of any result, and units that nobody names."""

CHANGES: dict[str, tuple[Callable[[Pipeline], None], set[str]]] = {
    "the formula of a scorer": (edited("stages/scorers/fuzzing.py", "= 0.2\n", "= 0.3\n"), FUZZINGS),
    "a prompt": (appended("stages/scorers/fuzzing.md", "Think.\n"), FUZZINGS),
    "what two scorers share": (
        edited(
            "stages/scorers/classifier.py",
            "from __future__ import annotations",
            "from __future__ import annotations\n\nassert True",
        ),
        SCORES,
    ),
    "the judge": (
        edited(
            "stages/llm/providers/pattern.py",
            "from __future__ import annotations",
            "from __future__ import annotations\n\nassert True",
        ),
        SCORES,
    ),
    "the form of the store": (
        edited("stages/latents/spec.py", '"glossa/latents", 2', '"glossa/latents", 3'),
        CACHES | SAMPLES | {"compare"},
    ),
    "the reader": (
        edited(
            "stages/coders/readers/sparsify.py",
            "from __future__ import annotations",
            "from __future__ import annotations\n\nassert True",
        ),
        CACHES | {"compare"},
    ),
    "a template of the report": (appended("stages/site/overview.html", "<p>\n"), {"report"}),
    "a style of the report": (appended("stages/site/assets/site.css", "p {}\n"), {"report"}),
    "a setting of a scorer": (setting("scorers", "fuzzing", "threshold", value=0.5), FUZZINGS | {"report"}),
    "a coder": (setting("coders", "one", "hookpoint", value="layers.0"), branch("one") | ENDS),
    "a coder's weights": (weights, branch("two") | ENDS),
    "the sampling": (setting("sampling", "window", value=16), ALL - CACHES - {"tokenize"}),
    "a default of the sampling": (
        edited("stages/params/sampling.py", "Field(ge=1)] = 200", "Field(ge=1)] = 100"),
        SAMPLES | {"report"},  # the stub takes no notice of defaults, so examples come out as they were
    ),
    "the embedder of compare": (setting("compare", "embedder", value="other"), ENDS),
    "the report": (setting("report", "examples", value=3), {"report"}),
    "the seed": (setting("seed", value=1), ALL),
}


def test_changes_that_concern_nothing_rerun_nothing(pipeline: Pipeline) -> None:
    """All at once: what only one of them reran would run here as well."""
    for change in sorted(NOTHING, key=lambda change: "everywhere" in change):
        NOTHING[change](pipeline)
    assert pipeline.repro() == set()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_what_it_concerns_and_nothing_else(pipeline: Pipeline, change: str) -> None:
    edit, expected = CHANGES[change]
    edit(pipeline)
    assert pipeline.repro() == expected


def test_nothing_reruns_without_a_change(pipeline: Pipeline) -> None:
    pipeline.repro()
    assert pipeline.repro() == set()
    with untraced(), Repo(str(pipeline.folder)) as repo:
        assert repo.status() == {}


def test_after_an_edit_status_names_the_stage_code_and_after_it_the_rest(pipeline: Pipeline) -> None:
    pipeline.append("stages/scorers/fuzzing.md", "Think.\n")
    with untraced(), Repo(str(pipeline.folder)) as repo:
        assert set(repo.status()) == {"code"}
    subprocess.run(["bin/glossa", "code"], cwd=pipeline.folder, check=True, capture_output=True)
    with untraced(), Repo(str(pipeline.folder)) as repo:
        changed = {name.replace("pipelines/", "").replace("/dvc.yaml", "") for name in repo.status()}
    assert changed == {"code", *FUZZINGS}


def test_a_model_that_is_named_counts_where_it_is_used(pipeline: Pipeline) -> None:
    pipeline.params["models"] = {"judge": {"provider": "pattern"}}
    pipeline.params["scorers"]["fuzzing"]["model"] = "judge"
    pipeline.write_params()
    assert pipeline.repro() == set(), "it is the same model"
    pipeline.params["models"]["judge"]["other"] = 1
    pipeline.write_params()
    assert pipeline.repro() == FUZZINGS | {"report"}


def test_a_coder_is_added_renamed_and_removed(pipeline: Pipeline) -> None:
    pipeline.repro()
    pipeline.write("demo/coders/three/sae.safetensors", "three")
    pipeline.params["coders"]["three"] = {"path": "demo/coders/three", "hookpoint": "layers.3", "format": "sparsify"}
    pipeline.write_params()
    assert "pipelines/three/dvc.yaml" in pipeline.wire()
    before = (pipeline.folder / "results/plots/content").read_text()
    assert pipeline.repro() == {stage.replace("one:", "three:") for stage in branch("one")} | ENDS
    assert (pipeline.folder / "results/plots/content").read_text() != before

    pipeline.params["coders"]["third"] = pipeline.params["coders"].pop("three")
    pipeline.write_params()
    assert "removed pipelines/three/dvc.lock, pipelines/three/dvc.yaml" in pipeline.wire()
    assert pipeline.repro() == {stage.replace("one:", "third:") for stage in branch("one")} | ENDS

    del pipeline.params["coders"]["third"]
    pipeline.write_params()
    pipeline.wire()
    assert pipeline.repro() == set(), "DVC restores what compare and report made before"
    assert (pipeline.folder / "results/plots/content").read_text() == before
    assert (pipeline.folder / "data/scores/three").is_dir(), "nothing is deleted"
    assert not (pipeline.folder / "pipelines/third").exists()


def test_a_scorer_is_added_and_another_removed(pipeline: Pipeline) -> None:
    pipeline.params["scorers"]["embedding"] = {"kind": "embedding"}
    pipeline.write_params()
    pipeline.wire()
    assert pipeline.repro() == {"one:score@pattern-embedding", "two:score@pattern-embedding", "report"}

    del pipeline.params["scorers"]["detection"]
    pipeline.write_params()
    pipeline.wire()
    assert pipeline.repro() == {"report"}


def test_activations_are_not_pushed_and_the_metrics_stay_in_git(built: Pipeline) -> None:
    with Repo(str(built.folder)) as repo:
        outs = {out.fs_path.removeprefix(f"{built.folder}/"): out for out in repo.index.outs}
    assert {path for path, out in outs.items() if not out.can_push} == {
        "data/latents/one.zarr",
        "data/latents/two.zarr",
    }
    assert {path for path, out in outs.items() if not out.use_cache} == {
        "results/metrics",
        "fingerprints.json",
    }
    assert shutil.which("glossa") == str(built.folder / "bin/glossa")
