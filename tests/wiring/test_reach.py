"""What is reached is never less than what stages execute, and as little more as reading the source can tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages import params
from stages.errors import GlossaError
from stages.wiring import fingerprints, made, reach, source
from tests.clones import ROOT
from tests.wiring.conftest import Finished
from tests.wiring.workbench import STAGES, top_level


@pytest.mark.parametrize("words", STAGES, ids=" ".join)
def test_whatever_a_stage_executes_or_opens_is_reached(finished: Finished, words: tuple[str, ...]) -> None:
    p = params.load(finished.bench.folder / "params.yaml")
    starts = fingerprints.part(p, made.key_of(words)).starts
    reached = {part.place for part in reach.reached(starts)}
    names = {
        (place.split(":")[0], name) for place in reached if ":" in place for name in place.split(":")[1].split(", ")
    }
    seen = finished.seen[words]
    executed = set()
    for file, lines in seen["lines"].items():
        place = Path(file).relative_to(ROOT).as_posix()
        if place.split("/")[1].removesuffix(".py") in reach.LEFT_OUT or place == "stages/__init__.py":
            continue
        statements = top_level(Path(file).read_text())
        executed |= {(place, name) for first, last, name in statements if any(first <= line <= last for line in lines)}
    assert executed - names == set()
    assert len(executed) > 20, "the stage was watched"
    opened = {Path(file).relative_to(ROOT).as_posix() for file in seen["files"]}
    assert {file for file in opened if file.split("/")[1] not in reach.LEFT_OUT} - reached == set()


def test_prompts_are_seen_to_be_opened(finished: Finished) -> None:
    assert any(file.endswith("detection.md") for file in finished.seen["score", "one", "pattern", "detection"]["files"])
    assert any(file.endswith("overview.html") for file in finished.seen["report",]["files"])


def digest(text: str) -> dict[str, str]:
    held = source.parse(text.encode(), "stages.made_up", False)
    return {", ".join(definition.names): definition.digest for definition in held.definitions}


@pytest.mark.parametrize(
    "same",
    [
        "def f(a, b=1):\n    return a + b\n",
        '"""About it."""\n\n\ndef f(a, b=1):  # a comment\n    """Adds."""\n    return (\n        a\n        + b\n    )\n',
        "def f(a: int, b: int = 1) -> int:\n    return a+b",
        "from __future__ import annotations\nimport os\ndef f(a, b=1):\n    return a + b\n",
    ],
)
def test_what_does_not_count(same: str) -> None:
    assert digest(same) == digest("def f(a, b=1):\n    return a + b\n")


@pytest.mark.parametrize(
    "other",
    [
        "def f(a, b=2):\n    return a + b\n",
        "def f(a, b=1):\n    return a - b\n",
        "def f(a, b=1):\n    return b + a\n",
        "def f(b, a=1):\n    return a + b\n",
        "def f(a, *, b=1):\n    return a + b\n",
        "async def f(a, b=1):\n    return a + b\n",
        "@cache\ndef f(a, b=1):\n    return a + b\n",
        "def f(a, b=1):\n    x = 1.0\n    return a + b\n",
        "def f(a, b=True):\n    return a + b\n",
    ],
)
def test_what_counts(other: str) -> None:
    assert digest(other) != digest("def f(a, b=1):\n    return a + b\n")


def test_annotations_count_where_they_are_evaluated() -> None:
    assert digest("class A:\n    x: int = 1\n") != digest("class A:\n    x: float = 1\n")
    assert digest("class A:\n    def f(self, x: int): ...\n") == digest("class A:\n    def f(self, x: float): ...\n")
    assert digest("def f():\n    x: int = 1\n") == digest("def f():\n    x: float = 1\n")


def test_one_and_true_differ_and_a_text_is_no_docstring_where_it_is_used() -> None:
    assert digest("x = 1") != digest("x = True") != digest("x = 1.0")
    assert digest("def f():\n    return 'a'") != digest("def f():\n    return 'b'")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of few modules in the place of the real one."""
    folder = tmp_path / "stages"
    for name, text in {
        "__init__.py": "",
        "run.py": "from stages import helpers\nfrom stages.units import load\ndef command():\n    load()\n    return helpers.used(1)\n",
        "helpers.py": "LIMIT = 3\nOTHER = 4\ndef used(x):\n    return x + LIMIT\ndef unused():\n    return OTHER\n",
        "units/__init__.py": "from stages.units import shared\ndef load():\n    return shared.common()\n",
        "units/shared.py": "def common():\n    from stages import late\n    return late\n",
        "units/one.py": "from pathlib import Path\nPROMPT = Path(__file__).with_name('one.md')\nclass Options:\n    def go(self):\n        return PROMPT\n",
        "units/one.md": "one",
        "units/two.md": "two",
        "units/two.py": "PROMPT = 'two.md'\n",
        "late.py": "def a(): ...\ndef b(): ...\n",
        "effect.py": "import os\nos.environ['X'] = '1'\ndef unused(): ...\n",
        "with_effect.py": "from stages import effect\ndef command(): ...\n",
        "circle.py": "from stages import circle\ndef command():\n    return circle.command\n",
        "broken.py": "def f(:",
        "machine/__init__.py": "",
        "machine/fast.py": "def fast(): ...\n",
        "uses_machine.py": "from stages.machine import fast\ndef command():\n    return fast.fast()\n",
        "shared_name.py": "from stages.helpers import used as used_here\ndef command(x):\n    def inner(LIMIT):\n        return LIMIT\n    return used_here(x)\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(reach, "FOLDER", folder)
    forget()
    yield folder
    forget()


def forget() -> None:
    for function in (reach.source, reach._file, reach._is_left_out, reach._beside, reach._named, reach._sha256):
        function.cache_clear()


def places(*starts: str) -> set[str]:
    return {part.place.removeprefix("stages/") for part in reach.reached(starts)}


def test_names_are_followed_one_by_one(package: Path) -> None:
    assert places("stages.run:command") == {
        "run.py:command",
        "helpers.py:used",
        "helpers.py:LIMIT",
        "units/__init__.py:load",
        "units/shared.py:common",
        "late.py:a",  # the module itself is handed on, so all of it counts
        "late.py:b",
    }


def test_a_unit_counts_whole_with_its_own_prompt(package: Path) -> None:
    assert places("stages.units.one") == {"units/one.py:PROMPT", "units/one.py:Options", "units/one.md"}


def test_what_runs_on_import_counts(package: Path) -> None:
    found = places("stages.with_effect:command")
    assert {place.partition(":")[0] for place in found} == {"with_effect.py", "effect.py"}
    assert len(found) == 2


def test_other_names_and_circles(package: Path) -> None:
    assert places("stages.shared_name:command") == {"shared_name.py:command", "helpers.py:used", "helpers.py:LIMIT"}
    assert places("stages.circle:command") == {"circle.py:command"}


def test_what_is_left_out_is_not_followed(package: Path) -> None:
    assert places("stages.uses_machine:command") == {"uses_machine.py:command"}


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("stages.absent", "expected the module stages.absent in stages/absent.py, but there is no such file"),
        ("stages.helpers:absent", "expected absent in stages/helpers.py, but it is not there"),
        ("stages.broken", "stages/broken.py should be Python, but it can't be parsed"),
    ],
)
def test_what_is_missing_or_broken_is_named(package: Path, start: str, message: str) -> None:
    with pytest.raises(GlossaError, match=message):
        reach.reached([start])


def test_the_package_itself_holds_only_its_version() -> None:
    """No fingerprint covers stages/__init__.py, so nothing in it may decide a result."""
    held = source.parse((ROOT / "stages/__init__.py").read_bytes(), "stages", True)
    assert [definition.names for definition in held.definitions] == [("__version__",)]
