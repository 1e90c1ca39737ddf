from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest
from click import unstyle
from click.testing import CliRunner

from stages import paths
from stages.cli import main
from stages.commands.audit import _table
from stages.examples.table import Examples
from stages.provenance import activations
from stages.provenance.check import Check
from stages.provenance.project import Project
from tests.provenance.conftest import finished, project
from tests.provenance.small import commit, glossa
from tests.provenance.tampering import Rows, edit, replace

__all__ = ["finished", "project"]


def test_a_sound_project_is_told_in_a_table(project: Path) -> None:
    told = glossa("audit", "--sample", "3")
    lines = told.splitlines()
    assert lines[0].split() == ["check", "checked", "failed", "unknown"]
    assert any(line.startswith("prompts") and line.endswith("and what was sent") for line in lines)
    assert lines[-1].startswith("Nothing differs: ")
    assert max(map(len, lines)) <= 140


def test_failures_are_named_and_end_with_exit_code_1(project: Path) -> None:
    def change(rows: Rows) -> None:
        rows[0]["score"] = 0.9375

    edit(paths.scores("one", "llm", "detection") / "scores.parquet", change)
    told = glossa("audit", code=1)
    assert "outputs: 1 of " in told
    assert "  data/scores/one/llm/detection\n    is not what pipelines/one/dvc.yaml:score@llm-detection wrote" in told
    assert told.splitlines()[-1] == "4 of 23 checks failed: outputs, figures, scores, metrics"


def test_json_has_every_check_with_its_counts(project: Path) -> None:
    shutil.rmtree("data/latents")
    found = json.loads(glossa("audit", "--json"))
    assert (found["sound"], found["sample"]) == (True, 20)
    by_name = {check["name"]: check for check in found["checks"]}
    assert len(by_name) == len(found["checks"])
    assert by_name["windows"] == {
        "name": "windows",
        "covers": "the activations of every window, and the store",
        "checked": 0,
        "failed": 0,
        "failures": [],
        "not_checkable": by_name["windows"]["not_checkable"],
    }
    (entry,) = by_name["windows"]["not_checkable"]
    assert entry["items"] == ["data/examples/one", "data/examples/two"]
    told = glossa("audit", "--sample", "0")
    assert "windows: not checked\n  data/examples/one and 1 more: the activations are not here" in told


def test_as_many_windows_are_looked_at_as_told(project: Path) -> None:
    def counts(sample: int, full: bool = False) -> int:
        return {check.name: check.checked for check in activations.checks(Project.here(sample, full))}["activations"]

    assert counts(3) == 6
    assert counts(0) == 0
    assert counts(0, full=True) == sum(len(Examples.open(paths.examples(coder)).windows) for coder in ("one", "two"))


def test_a_page_is_written_beside_the_table(project: Path) -> None:
    told = glossa("audit", "--sample", "0", "--html", "pages/audit.html")
    assert told.splitlines()[-1].startswith("Nothing differs: ")
    page = Path("pages/audit.html").read_text()
    assert page.count('<th scope="row">') == 23
    assert "Nothing differs" in page


@pytest.mark.parametrize("place", ["results/report/audit.html", "data/tokens/../tokens/a.html"])
def test_a_page_is_not_written_into_an_output(place: str, project: Path) -> None:
    result = CliRunner().invoke(main, ["audit", "--html", place])
    assert result.exit_code == 1
    assert "which a lock file pins, so writing it would change that; choose another" in result.stderr
    assert not Path(place).exists()


def test_what_a_check_compares_goes_on_below_in_a_narrow_terminal() -> None:
    lines = [unstyle(line) for line in _table([Check("windows", "as many words " * 5), Check("a", "few words")], 70)]
    assert max(map(len, lines)) <= 70
    assert [line[:8].strip() for line in lines] == ["check", "windows", "", "a"]
    assert lines[2].index("words") == lines[1].index("as many") == lines[3].index("few words")


def last(*arguments: str, code: int) -> str:
    return glossa("audit", *arguments, code=code).splitlines()[-1]


def test_strict_lets_nothing_pass_that_was_not_checked(project: Path) -> None:
    assert last(code=0).endswith(" things not checked")
    said = last("--strict", code=1)
    assert said.startswith("Not all could be checked, as --strict demands: lock: ")
    commit()
    assert last("--strict", code=0).endswith(" comparisons in 23 checks")
    shutil.rmtree("data/latents")
    said = last("--strict", code=1)
    assert said.startswith(
        "Not all could be checked, as --strict demands: outputs, identities, stores, silent, windows"
    )
    found = json.loads(glossa("audit", "--strict", "--json", code=1))
    assert (found["sound"], found["strict"]) == (False, True)
    assert found["verdict"].startswith("Not all could be checked")
    assert last(code=0).startswith("Nothing differs: ")


def test_where_nothing_is_here_to_look_at_nothing_is_vouched_for(project: Path) -> None:
    shutil.rmtree("data")
    for folder in ("report", "plots", "dataset"):
        shutil.rmtree(f"results/{folder}")
    assert Path("results/metrics/one.json").is_file()  # in git, whatever was pulled
    for arguments in ([], ["--strict"]):
        said = last(*arguments, code=2)
        assert said.startswith("Nothing could be checked: none of 15 outputs is here; run dvc pull, or dvc repro: ")
    found = json.loads(glossa("audit", "--json", "--html", "audit.html", code=2))
    assert (found["sound"], found["verdict"]) == (False, said.rpartition(": ")[0])
    assert '<h2 class="unknown">Nothing could be checked' in Path("audit.html").read_text()
    replace([Path("pipelines/one/dvc.lock")], {"cmd: glossa sample one": "cmd: glossa sample two"})
    assert last(code=1) == "1 of 23 checks failed: lock"


def test_other_versions_of_packages_are_told_and_no_failure(project: Path) -> None:
    commit()
    assert json.loads(glossa("audit", "--sample", "0", "--json"))["other_packages"] == {}
    here = version("numpy")
    replace([Path("pipelines/one/made.json")], {f'"numpy": "{here}"': '"numpy": "1.0"'})
    told = glossa("audit", "--sample", "0", "--html", "audit.html")
    assert f"Some outputs were made with other versions than are installed: numpy 1.0 (here {here})" in told
    assert f"numpy 1.0 (here {here})" in Path("audit.html").read_text()
    assert json.loads(glossa("audit", "--sample", "0", "--json"))["other_packages"] == {"numpy": ["1.0"]}
    assert "lock: not checked\n  pipelines/one/made.json: is not as committed" in told


def test_damaged_lock_files_are_told_in_one_sentence(project: Path) -> None:
    file = Path("pipelines/two/dvc.lock")
    file.write_text(file.read_text().replace("stages:\n", "stages: [\n", 1))
    for command in (["audit"], ["trace", "one", "3"]):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: expected stages in pipelines/two/dvc.lock, but it is damaged (")
        assert result.stderr.endswith("; run glossa wire, which restores it\n")


@pytest.mark.parametrize("gone", ["dvc.lock", "params.yaml"])
def test_without_a_lock_or_params_there_is_one_sentence(project: Path, gone: str) -> None:
    Path(gone).unlink()
    result = CliRunner().invoke(main, ["audit"])
    assert result.exit_code == 1
    assert f"expected {gone}" in result.stderr
    assert "Traceback" not in result.output
