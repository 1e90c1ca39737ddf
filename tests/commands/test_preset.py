from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from dvc.repo import Repo

from stages import llm, params
from stages.errors import GlossaError
from stages.params import Coder
from stages.subject.hookpoints import resolve
from stages.subject.load import Subject
from stages.wiring.coder import address
from tests import families
from tests.clones import ROOT, Clone

FILES = {file.stem: file for file in sorted((ROOT / "presets").glob("*.yaml"))}
MODELS = {
    "EleutherAI/pythia-160m": ("gpt_neox", {"num_hidden_layers": 12}),
    "openai-community/gpt2": ("gpt2", {"n_layer": 12}),
    "google/gemma-2-2b": ("gemma2", {"num_hidden_layers": 26}),
    "google/gemma-2-9b": ("gemma2", {"num_hidden_layers": 42}),
    "google/gemma-3-1b-pt": ("gemma3_text", {"num_hidden_layers": 26}),
    "meta-llama/Llama-3.1-8B": ("llama", {"num_hidden_layers": 32}),
}
"""Family and number of layers of every subject that is not in the repository."""

PAPER = "30 33 36 46 51 51 66 38 41 42 47 49 52 30 56 55 35 35 34 32 34 33 32 32 55 54 32 33 32 33 32 52 51 51 51 51 51 53 53 54 49 45"
"""L0 of the 131k coders of the residual stream, layer by layer (arXiv 2410.13928, appendix E)."""


@pytest.fixture(params=list(FILES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the repository with the presets."""
    clone = Clone(tmp_path_factory.mktemp("presets") / "clone")
    shutil.copytree(ROOT / "presets", clone.folder / "presets")
    return clone


@pytest.fixture
def clone(shared: Clone, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """The copy with the params.yaml and dvc.yaml of the repository, the current folder."""
    monkeypatch.chdir(shared.folder)
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    shutil.copy(ROOT / "presets/demo.yaml", "params.yaml")
    return shared


def takes(clone: Clone, *arguments: str) -> str:
    result = clone.glossa("preset", *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def fails(clone: Clone, *arguments: str) -> str:
    result = clone.glossa("preset", *arguments)
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    return result.output.removeprefix("Error: ").strip()


def written_out(file: Path) -> str:
    """A preset in which what is commented out for the user to switch on is switched on."""
    return re.sub(r"^  # (?=[a-z0-9_]+: +[&{])", "  ", file.read_text(), flags=re.MULTILINE)


def every_coder(name: str, tmp_path: Path) -> dict[str, Any]:
    """The coders of a preset, with those that are commented out."""
    (tmp_path / "params.yaml").write_text(written_out(FILES[name]))
    return params.load(tmp_path / "params.yaml").coders


def test_what_has_to_be_there() -> None:
    assert set(FILES) >= {
        "demo",
        "demo-controls",
        "pythia-160m",
        "gpt2-small-openai",
        "gpt2-small-saelens",
        "gemma-2-2b",
        "gemma-2-9b",
        "gemma-2-9b-131k",
        "gemma-2-9b-neurons",
        "gemma-3-1b",
        "llama-3.1-8b",
        "llama-3.1-8b-llama-scope",
        "llama-3.1-8b-neurons",
    }


def test_the_demo_is_what_the_repository_runs() -> None:
    assert (ROOT / "params.yaml").read_text() == FILES["demo"].read_text(), "copy one to the other"


def test_a_preset_is_taken_and_wired(clone: Clone, name: str) -> None:
    text = FILES[name].read_text()
    first = text.splitlines()[0].removeprefix("# ")
    said = takes(clone, name)
    assert said.startswith(f"preset: params.yaml is now presets/{name}.yaml\nwire: ")
    assert f"\n\n{first}\n" in said
    assert said.endswith("\n\nNext: dvc repro\n")
    assert Path("params.yaml").read_text() == text
    assert clone.glossa("wire", "--check").exit_code == 0


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's, of pygtrie
@pytest.mark.parametrize("name", ["gemma-2-2b", "llama-3.1-8b-neurons"])
def test_dvc_accepts_it(clone: Clone, name: str) -> None:
    takes(clone, name)
    if not Path(".git").exists():
        subprocess.run(["git", "init", "--quiet"], check=True)
    with Repo(str(clone.folder)) as repo:
        stages = {stage.addressing: stage for stage in repo.index.stages}
        status = repo.status()
    p = params.load()
    assert {address(coder, "cache") for coder in p.coders} <= set(stages)
    assert {address(coder, "score@pattern-fuzzing") for coder in p.coders} <= set(stages)
    assert set(status) == set(stages), "nothing has run"
    (changed,) = (entry["changed deps"] for entry in status["tokenize"] if "changed deps" in entry)
    assert "deleted" not in changed.values(), "the first stage has all that it needs"


def test_every_hookpoint_is_one_of_the_subject(name: str, tmp_path: Path) -> None:
    model = params.load(FILES[name]).subject.model
    if model.startswith("package://"):
        return
    family, size = MODELS[model]
    subject = Subject(families.make(family, **size), model, {}, torch.device("cpu"))
    for entry in every_coder(name, tmp_path).values():
        assert entry.hookpoint
        resolve(subject, entry.hookpoint)
    (layers,) = size.values()
    with pytest.raises(GlossaError):
        resolve(subject, f"{'h' if family == 'gpt2' else 'layers'}.{layers}")


def test_a_folder_s_layer_is_the_hookpoint_s_and_l0_is_noted(name: str) -> None:
    lines = [line for line in FILES[name].read_text().splitlines() if "{path: " in line and "hookpoint" in line]
    for line in lines:
        path, hookpoint = re.findall(r'(?:path|hookpoint): "?([^,}"]+)', line)
        if name.startswith("demo"):
            continue
        here = re.search(r"(?:layers|h|blocks)\.(\d+)", hookpoint)
        assert here
        there = re.search(r"layer_(\d+)[_/.]|L(\d+)[RM]-|(?:layers|blocks)\.(\d+)|/(\d+)\.pt$", path)
        assert there, path
        assert here[1] == next(filter(None, there.groups())), line
        if l0 := re.search(r"average_l0_(\d+)", path):
            assert re.search(rf"# L0 {l0[1]}\b", line), line


def test_the_paper_s_coders(tmp_path: Path) -> None:
    coders = every_coder("gemma-2-9b-131k", tmp_path)
    assert [coders[f"res{layer}"].path for layer in range(42)] == [
        f"hub://google/gemma-scope-9b-pt-res/layer_{layer}/width_131k/average_l0_{l0}"
        for layer, l0 in enumerate(PAPER.split())
    ]
    assert coders["random"].latents == 131_072
    p = params.load(FILES["gemma-2-9b-131k"])
    assert (p.corpus.context_length, p.corpus.tokens) == (256, 10_000_000)
    assert (p.sampling.min_activations, p.sampling.window, p.sampling.train.n) == (200, 32, 40)
    assert (p.sampling.test.per_decile, p.sampling.test.negatives) == (10, {"random": 100})


def test_coders_of_the_hub_say_where_they_read(name: str) -> None:
    for entry in params.load(FILES[name]).coders.values():
        if isinstance(entry, Coder) and not name.startswith("demo"):
            assert re.fullmatch(r"hub://[\w.-]+/[\w.-]+/[\w./-]+|downloads/[\w./-]+", entry.path)


def test_coders_say_their_format(name: str, tmp_path: Path) -> None:
    """So that no change of another reader caches them again."""
    files = {
        "sparsify": r"hub://EleutherAI/sae-.*|demo/coders/.*",
        "saelens": r"demo/coders/.*",
        "gemma_scope": r"hub://google/gemma-scope-\d+b-.*/average_l0_\d+",
        "gemma_scope_2": r"hub://google/gemma-scope-2-.*",
        "openai": r"downloads/.*\.pt",
        "saelens_old": r"hub://jbloom/GPT2-Small-.*",
        "llama_scope": r"hub://fnlp/Llama3_1-8B-.*",
    }
    for coder in every_coder(name, tmp_path).values():
        if isinstance(coder, Coder):
            if coder.format is None:
                assert "-OAI-" in coder.path, "which of two formats these files are in is not known for certain"
            else:
                assert re.fullmatch(files[coder.format], coder.path)


def test_the_judge_that_is_commented_out_can_be_switched_on(name: str, tmp_path: Path) -> None:
    if name.startswith("demo"):
        return
    text = written_out(FILES[name]).replace("model: pattern", "model: judge")
    assert "judge: {" in text
    (tmp_path / "params.yaml").write_text(text)
    p = params.load(tmp_path / "params.yaml")
    judge = p.scorers["detection"]["model"]
    assert judge["provider"] == "openai"
    llm.load("scorers.detection.model", judge)


def test_the_list(clone: Clone) -> None:
    lines = takes(clone).splitlines()
    assert [line.split()[0] for line in lines] == sorted(FILES)
    width = max(map(len, FILES)) + 2
    for line in lines:
        first = FILES[line.split()[0]].read_text().splitlines()[0]
        assert line[width:] == first.removeprefix("# ")


def test_own_work_is_not_overwritten(clone: Clone) -> None:
    Path("params.yaml").write_text("seed: 1\n")
    wired = Path("dvc.yaml").read_text()
    assert fails(clone, "pythia-160m") == (
        "params.yaml is neither a preset nor as the last commit has it, so overwriting it would lose work; commit it, "
        "or use --force"
    )
    assert Path("params.yaml").read_text() == "seed: 1\n"
    assert Path("dvc.yaml").read_text() == wired

    takes(clone, "pythia-160m", "--force")
    takes(clone, "demo")
    Path("params.yaml").unlink()
    takes(clone, "pythia-160m")


def test_a_committed_params_yaml_may_go(clone: Clone) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)

    Path("params.yaml").write_text("seed: 2\n")
    git("init")
    git("add", "params.yaml")
    fails(clone, "demo")
    git("commit", "-m", "mine")
    takes(clone, "demo")


def test_nothing_is_written_if_it_can_not_be_wired(clone: Clone) -> None:
    before = Path("params.yaml").read_text()
    Path("dvc.yaml").write_text(Path("dvc.yaml").read_text().replace("# wired: report.data", "# wired: reports"))
    assert "has the unknown mark" in fails(clone, "pythia-160m")
    assert Path("params.yaml").read_text() == before


def test_mistakes(clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fails(clone, "pythia-16m") == "there is no preset pythia-16m; did you mean pythia-160m?"
    monkeypatch.chdir(tmp_path)
    assert fails(clone).startswith(f"expected presets in {tmp_path}/presets, but there are none; run Glossa in a clone")


def test_rows_begin_as_those_that_the_coders_were_trained_on(name: str) -> None:
    """As their authors' code makes them: TransformerLens' and Gemma's with BOS, those of sparsify as the tokenizer does."""
    bos = {"gemma": "<bos>", "llama": "<|begin_of_text|>", "pythia": "none", "demo": "none"}
    bos |= {"gpt2-small-saelens": "<|endoftext|>", "gpt2-small-openai": "none"}
    (expected,) = (value for start, value in bos.items() if name.startswith(start))
    assert params.load(FILES[name]).corpus.bos == expected
