"""dvc.yaml lists all code that its stages run: checked against Python's own module finder and against what gets loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dvc.repo import Repo

from stages import explainers, imports, llm, params, scorers
from stages.cli import STAGES, main
from stages.foresight.pending import stages_of
from tests.clones import ROOT

Code = dict[str, set[str]]


@pytest.fixture(scope="module")
def p() -> params.Params:
    return params.load(ROOT / "params.yaml")


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Code:
    """{stage: the files of stages/ among its dependencies}, as DVC understands dvc.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path_factory.mktemp("dvc")))
        with Repo(str(ROOT)) as repo:
            found = {stage.addressing: {dep.def_path for dep in stage.deps} for stage in repo.index.stages}
    return {name: set(unfolded(dep for dep in deps if dep.startswith("stages/"))) for name, deps in found.items()}


def unfolded(deps: Iterable[str]) -> Iterator[str]:
    """The files that dependencies name, or that lie in a folder that they name."""
    for dep in deps:
        path = ROOT / dep
        files = path.rglob("*") if path.is_dir() else [path]
        yield from (
            file.relative_to(ROOT).as_posix() for file in files if file.is_file() and "__pycache__" not in file.parts
        )


def name_of(stage: str) -> str:
    """``score`` of ``score-detection@one-pattern``."""
    return stage.partition("@")[0].partition("-")[0]


def room(file: str) -> str:
    """The folder in stages/ that a file lies in."""
    return Path(file).parts[1]


def modules_of(stage: str, p: params.Params) -> list[str]:
    """The modules that a stage starts from: its script, and those that its entry loads by name."""
    name, _, unit = stage.partition("@")[0].partition("-")
    roots = [f"stages.{name}"]
    rooms: list[tuple[dict[str, str], dict[str, dict[str, Any]]]] = []
    if name == "explain":
        rooms.append((explainers.KINDS, p.explainers))
    if name == "score":
        rooms.append((scorers.KINDS, p.scorers))
    if name == "compare" and p.compare.ceiling:
        roots += [explainers.KINDS[entry["kind"]] for entry in p.explainers.values()]
    for kinds, entries in rooms:
        entry = entries[unit]
        roots.append(kinds[entry["kind"]])
        roots += [llm.PROVIDERS[value["provider"]] for value in entry.values() if isinstance(value, dict)]
    return roots


def test_dvc_yaml_is_wired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(main, ["wire", "--check"])
    assert result.exit_code == 0, result.output


def test_every_entry_has_its_stages(listed: Code, p: params.Params) -> None:
    assert set(listed) == {
        *("tokenize", "compare", "report"),
        *(f"{stage}@{coder}" for stage in ("cache", "sample") for coder in p.coders),
        *(stage.dvc for stage in stages_of(p)),
    }
    assert {name_of(stage) for stage in listed} == set(STAGES)


def test_what_is_listed_is_what_python_finds(listed: Code, p: params.Params) -> None:
    finders: dict[tuple[str, ...], set[str]] = {}
    for stage, files in listed.items():
        roots = tuple(modules_of(stage, p))
        if roots not in finders:
            finder = ModuleFinder([str(ROOT)])
            for module in roots:
                finder.import_hook(module)
            sources = [module.__file__ for module in finder.modules.values() if module.__file__]
            finders[roots] = {Path(source).relative_to(ROOT).as_posix() for source in sources}
        starters = {"stages/__init__.py", "stages/__main__.py", "stages/cli.py"}
        needed = finders[roots] - starters
        surplus = {file for file in files if file.endswith(".py")} - needed
        assert needed <= files, stage
        if surplus:
            # Only stages that are many name a room that they use as a whole.
            assert name_of(stage) in ("explain", "score"), (stage, surplus)
            assert {room(file) for file in surplus} <= {room(file) for file in needed} - {"explainers", "scorers"}, (
                stage
            )
        assert all((ROOT / file).is_file() for file in files), stage


def test_what_tokenize_loads_is_listed(listed: Code, workplace: Path) -> None:
    """A stage that is run for real."""
    program = "import sys; from stages.tokenize import command; command([], standalone_mode=False)"
    (loaded,) = run(program, [""])
    assert (workplace / "data/tokens/meta.json").is_file()
    assert "stages/corpus/files.py" in loaded
    assert loaded <= listed["tokenize"]


def test_what_the_stages_load_at_once_is_listed(listed: Code, p: params.Params) -> None:
    """One stage of each name, each starting with no module of ours."""
    stages = list({name_of(stage): stage for stage in listed}.values())
    program = "import importlib; [importlib.import_module(name) for name in argument.split()]"
    found = run(program, [" ".join(modules_of(stage, p)) for stage in stages])
    for stage, loaded in zip(stages, found, strict=True):
        assert f"stages/{name_of(stage)}.py" in loaded
        assert loaded <= listed[stage], stage


def run(program: str, arguments: list[str]) -> list[set[str]]:
    """The files of stages/ that are loaded after running ``program`` with each of the ``arguments``."""
    runner = """
import sys
for argument in sys.argv[2:]:
    for name in [name for name in sys.modules if name.partition(".")[0] == "stages"]:
        del sys.modules[name]
    exec(sys.argv[1])
    print("loaded", *(m.__file__ for n, m in sys.modules.items() if n.startswith("stages.") and m.__file__), sep="\\t")
"""
    command = [sys.executable, "-c", runner, program, *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    lines = [line.split("\t")[1:] for line in printed if line.startswith("loaded\t")]
    return [
        {Path(file).resolve().relative_to(ROOT).as_posix() for file in files} - {"stages/cli.py"} for files in lines
    ]


def test_files_beside_the_code_are_listed(listed: Code) -> None:
    """Prompts and templates: every one belongs to some stage, to a command, or to a unit that params.yaml does not name."""
    found = {file.relative_to(ROOT) for file in (ROOT / "stages").rglob("*") if file.is_file()}
    beside = {
        file.as_posix() for file in found if not any(part.startswith((".", "__pycache__")) for part in file.parts)
    }
    units = [*explainers.KINDS.values(), *scorers.KINDS.values(), *llm.PROVIDERS.values()]
    units += [f"stages.commands.{file.stem}" for file in (ROOT / "stages/commands").glob("[a-z]*.py")]
    known = set.union(*listed.values(), *({file.as_posix() for file in imports.files(unit)} for unit in units))
    assert {file for file in beside if not file.endswith(".py")} <= known


def test_the_package_itself_holds_only_its_version() -> None:
    """No stage depends on stages/__init__.py, so nothing in it may decide a result."""
    body = ast.parse((ROOT / "stages/__init__.py").read_text()).body
    assert [type(node) for node in body] == [ast.Expr, ast.Assign]
