from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from stages import __version__
from stages.cli import COMMANDS, STAGES, main
from stages.errors import GlossaError


def test_help_lists_every_command_with_what_it_does() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    said = " ".join(result.output.split())
    for name, text in {**STAGES, **COMMANDS}.items():
        assert f"  {name} " in result.output
        assert text in said
    places = [result.output.index(f"  {name} ") for name in STAGES]
    assert places == sorted(places)


def test_version() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"glossa, version {__version__}\n"


@pytest.mark.parametrize("name", ["tokenize", "cache", "sample"])
def test_every_command_has_a_help_of_its_own(name: str) -> None:
    result = CliRunner().invoke(main, [name, "-h"])
    assert result.exit_code == 0
    assert f"Usage: main {name}" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tokenise"], "Error: no such command 'tokenise'; did you mean tokenize?"),
        (["xyz"], "Error: no such command 'xyz'; known are "),
        (["cache"], "Error: Missing argument 'CODER'."),
        (["--bad"], "Error: No such option"),
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert expected in result.output


def test_a_user_s_mistake_is_one_line_and_exits_with_1(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(root)!r}); from stages.cli import main; main()"
    found = subprocess.run([sys.executable, "-c", code, "sample", "x"], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.count("\n") == 1
    assert found.stderr.startswith(f"Error: expected params.yaml in {tmp_path}, but there is no such file")


def test_what_is_no_user_s_mistake_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("broken")
    @click.option("--user", is_flag=True)
    def broken(user: bool) -> None:
        raise GlossaError("a sentence") if user else KeyError("a defect")

    monkeypatch.setattr(type(main), "get_command", lambda self, ctx, name: broken)
    assert CliRunner().invoke(main, ["show", "--user"]).output == "Error: a sentence\n"
    result = CliRunner().invoke(main, ["show"])
    assert isinstance(result.exception, KeyError)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk has no room left for data/x; make room and run it again"),
        (
            errno.ENOTDIR,
            "expected data/x to be a file or folder .*: Not a directory; put right what is there, and run it again",
        ),
        (errno.EACCES, "expected data/x to be .*: Permission denied; put right"),
        (errno.EROFS, "expected data/x to be .*: Read-only file system; put right"),
    ],
)
def test_what_lies_in_the_way_on_the_disk_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    @click.command("broken")
    @click.option("--unnamed", is_flag=True)
    def broken(unnamed: bool) -> None:
        raise OSError(number, os.strerror(number), *([] if unnamed else ["data/x"]))

    monkeypatch.setattr(type(main), "get_command", lambda self, ctx, name: broken)
    result = CliRunner().invoke(main, ["show"])
    assert result.exit_code == 1
    assert re.fullmatch(f"Error: {said}.*\n", result.output)
    if number != errno.ENOSPC:  # nobody could do anything about it
        assert isinstance(CliRunner().invoke(main, ["show", "--unnamed"]).exception, OSError)


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import stages.cli", ["torch", "transformers", "pyarrow", "zarr", "numpy", "pydantic", "scipy"]),
        ("import stages.tokenize", ["torch", "transformers", "datasets"]),
        ("import stages.sample", ["torch", "transformers", "datasets", "vl_convert", "sentence_transformers"]),
        ("import stages.cache", ["torch", "transformers"]),
        ("import stages.explain, stages.score", ["torch", "transformers", "zarr", "scipy", "pandas", "openai", "dvc"]),
        ("import stages.report", ["torch", "transformers", "sentence_transformers", "pandas", "scipy.stats"]),
        ("import stages.commands.coder, stages.commands.preset", ["torch", "transformers"]),
        ("from stages.cli import main; main(['--help'], standalone_mode=False)", ["torch", "transformers", "numpy"]),
    ],
)
def test_a_command_imports_only_what_it_runs(code: str, unwanted: list[str]) -> None:
    check = f"{code}; import sys; print(*sorted(set({unwanted!r}) & set(sys.modules)), file=sys.stderr)"
    root = Path(__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", check], cwd=root, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "\n")


HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "datasets",
    "pandas",
    "sklearn",
    "openai",
    "aiohttp",
    "dvc",
    "vl_convert",
)


def test_a_stage_that_computes_little_imports_little(finished_workplace: Path, tmp_path: Path) -> None:
    """Half of the stages of the demo are such: what they import is most of what they take."""
    shutil.copytree(finished_workplace, tmp_path / "here")
    params = tmp_path / "here/params.yaml"
    params.write_text(params.read_text().replace("per_decile: 1", "per_decile: 4"))
    with params.open("a") as file:
        file.write("  theirs: {kind: imported, format: delphi, path: theirs, coders: {one: layers.0}}\nscorers:\n")
        for kind in ("detection", "fuzzing", "simulation", "intruder"):
            file.write(f"  {kind}: {{kind: {kind}, model: {{provider: pattern}}}}\n")
    (tmp_path / "here/theirs").mkdir()
    (tmp_path / "here/theirs/layers.0_latent3.txt").write_text('"Foxes"')
    report = "import atexit, sys; atexit.register(lambda: print('\\n', *sorted(set(sys.argv.pop().split()) & set(sys.modules))))"
    for words, light in (
        ("sample one", HEAVY),
        ("explain one pattern", (*HEAVY, "scipy", "zarr")),
        ("explain one theirs", (*HEAVY, "scipy", "zarr")),
        ("score one pattern detection", (*HEAVY, "scipy", "zarr")),
        ("score one pattern fuzzing", (*HEAVY, "scipy", "zarr")),
        ("score one pattern simulation", HEAVY),
        ("score one latent intruder", HEAVY),
    ):
        code = f"{report}; from stages.cli import main; main({words.split()!r})"
        command = [sys.executable, "-c", code, " ".join(light)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, cwd=tmp_path / "here", env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].split() == [], words


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            "explainers:\n  pattern: {kind: patern}\n",
            "explainers.pattern.kind is 'patern', which is unknown; did you mean pattern?",
        ),
        (
            "explainers:\n  pattern: {kind: pattern}\nscorers:\n  d: {kind: detection, model: {provider: opnai}}\n",
            "scorers.d.model.provider is 'opnai', which is unknown; ",
        ),
    ],
)
def test_a_misspelt_unit_is_said_by_the_first_stage(workplace: Path, section: str, expected: str) -> None:
    text = (workplace / "params.yaml").read_text().replace("explainers:\n  pattern: {kind: pattern}\n", section)
    (workplace / "params.yaml").write_text(text)
    for stage in (["tokenize"], ["cache", "one"]):
        result = CliRunner().invoke(main, stage)
        assert (result.exit_code, result.output.count("\n")) == (1, 1)
        assert result.output.startswith(f"Error: params.yaml: {expected}")
    assert CliRunner().invoke(main, ["tokenize", "--help"]).exit_code == 0
    assert not (workplace / "data").exists()


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("", "runtime.yaml has no endpoint lab, which a model of params.yaml names; there are none"),
        (
            "endpoints: {lab: {base_url: 'https://api.example.org/v1', api_key_env: LAB_KEY}}\n",
            "expected the key of the endpoint lab in the environment variable LAB_KEY, but it is not set; ",
        ),
        (
            "endpoints: {lab: {base_url: 'https://api.example.org/v1', budget: {dollars: 5}}}\n",
            "runtime.yaml: endpoints.lab.budget is in dollars, but endpoints.lab.prices has no m; ",
        ),
    ],
)
def test_a_model_that_can_t_be_asked_is_said_by_the_first_stage(
    workplace: Path, runtime: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (workplace / "params.yaml").read_text()
    scorer = "scorers:\n  d: {kind: detection, model: {provider: openai, endpoint: lab, model: m}}\n"
    (workplace / "params.yaml").write_text(text + scorer)
    (workplace / "runtime.yaml").write_text(runtime)
    for stage in (["tokenize"], ["cache", "one"]):
        result = CliRunner().invoke(main, stage)
        assert (result.exit_code, result.output.count("\n")) == (1, 1)
        assert result.output.startswith(f"Error: {expected}")
    assert not (workplace / "data").exists()
    monkeypatch.setenv("LAB_KEY", "secret")
    (workplace / "runtime.yaml").write_text(
        "endpoints: {lab: {base_url: 'https://api.example.org/v1', api_key_env: LAB_KEY, budget: {calls: 5}}}\n"
    )
    assert CliRunner().invoke(main, ["tokenize"]).exit_code == 0
