"""What an installed wheel is called, and what it takes of names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_distribution_is_not_somebody_elses_and_the_command_is_ours() -> None:
    """``glossa`` on PyPI is a stranger's, who takes the import name as well."""
    assert PROJECT["project"]["name"] == "glossa-sae"
    assert PROJECT["project"]["scripts"] == {"glossa": "stages.cli:main"}


def test_a_wheel_takes_one_name_of_modules_and_not_the_strangers() -> None:
    found = find_packages(str(ROOT), **PROJECT["tool"]["setuptools"]["packages"]["find"])
    assert {name.partition(".")[0] for name in found} == {"stages"}


def test_extras_that_are_made_of_others_name_our_distribution() -> None:
    named = [
        need
        for extra in PROJECT["project"]["optional-dependencies"].values()
        for need in extra
        if need.startswith("glossa")
    ]
    assert named
    assert all(need.startswith("glossa-sae[") for need in named)


@pytest.mark.parametrize("folder", ["docs", "stages", "README.md", "CONTRIBUTING.md"])
def test_nobody_is_told_to_install_the_strangers(folder: str) -> None:
    files = (
        [ROOT / folder]
        if (ROOT / folder).is_file()
        else [*(ROOT / folder).rglob("*.md"), *(ROOT / folder).rglob("*.py")]
    )
    told = [file.name for file in files if re.search(r"pip install [^\n`]*\bglossa(?!-sae)\b", file.read_text("utf-8"))]
    assert told == []
