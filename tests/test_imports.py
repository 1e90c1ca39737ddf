from __future__ import annotations

from pathlib import Path

import pytest

from stages import imports
from stages.errors import GlossaError

SOURCES = {
    "stages/__init__.py": "",
    "stages/errors.py": "",
    "stages/cli.py": "import stages.errors",
    "stages/run.py": """
from __future__ import annotations
import json, stages.plain
from typing import TYPE_CHECKING
from stages import cli, units
from stages.tables.rows import Row, table
if TYPE_CHECKING:
    from stages.only_types import Never
def later():
    from stages.deep import inside
    try:
        import stages.deep.other as other
    except ImportError:
        raise
""",
    "stages/plain.py": "from stages import run",
    "stages/only_types.py": "",
    "stages/tables/__init__.py": "from . import table",
    "stages/tables/rows.py": "from .table import Table\nfrom ..errors import Error",
    "stages/tables/table.py": "",
    "stages/tables/unused.py": "PROMPT = 'unused.md'",
    "stages/tables/rows.md": "",
    "stages/tables/unused.md": "",
    "stages/deep/__init__.py": "",
    "stages/deep/inside.py": "NAME = 'inside.md'",
    "stages/deep/inside.md": "",
    "stages/deep/other.py": "",
    "stages/units/__init__.py": "KINDS = {'one': 'stages.units.one'}\ndef load(): import_module(KINDS['one'])",
    "stages/units/one.py": "from stages.units.shared import x\nP = f'one.md'",
    "stages/units/one.md": "",
    "stages/units/shared.py": "",
}


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)


def below_stages(module: str) -> set[str]:
    return {file.relative_to("stages").as_posix() for file in imports.files(module)}


def test_imports_are_followed_into_functions_packages_and_cycles_but_not_for_type_checkers() -> None:
    assert below_stages("stages.run") == {
        "run.py",
        "plain.py",
        "errors.py",
        "units/__init__.py",
        "tables/__init__.py",
        "tables/rows.py",
        "tables/table.py",
        "tables/rows.md",  # named by no module: part of the package
        "deep/__init__.py",
        "deep/inside.py",
        "deep/inside.md",  # named by inside.py
        "deep/other.py",
    }


def test_a_unit_comes_with_its_package_and_its_own_prompt() -> None:
    assert below_stages("stages.units.one") == {"units/__init__.py", "units/one.py", "units/one.md", "units/shared.py"}
    assert below_stages("stages.units.shared") == {"units/__init__.py", "units/shared.py"}


def test_an_else_of_type_checking_is_executed() -> None:
    Path("stages/plain.py").write_text(
        "import typing\nif typing.TYPE_CHECKING:\n    import stages.cli\nelse:\n    import stages.only_types\n"
    )
    assert below_stages("stages.plain") == {"plain.py", "only_types.py"}


def test_a_registry_is_read_and_not_imported() -> None:
    assert imports.registry("units", "KINDS") == {"one": "stages.units.one"}
    with pytest.raises(GlossaError, match=r"expected PROVIDERS = .* in stages/units/__init__.py, but it is not there"):
        imports.registry("units", "PROVIDERS")


def test_what_is_missing_or_broken_is_named() -> None:
    with pytest.raises(GlossaError, match=r"expected the module stages.absent in stages/absent.py"):
        imports.files("stages.absent")
    Path("stages/plain.py").write_text("def f(:")
    with pytest.raises(GlossaError, match=r"stages/plain.py should be Python"):
        imports.files("stages.run")
