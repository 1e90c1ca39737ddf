from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from stages.corpus import installed_docs
from stages.corpus.installed_docs import is_held_out, read, read_pins
from stages.errors import GlossaError

Install = Callable[[str, str, dict[str, str]], None]
PROSE = "This is a docstring with enough words in it to count as prose, for it holds more than eighty characters"


@pytest.fixture
def constraints(tmp_path: Path) -> Path:
    path = tmp_path / "constraints.txt"
    path.write_text("# pins\nmade.up_Package==1.2  # a comment\nother==3.4; python_version > '3'\nunpinned>=2\n\n")
    return path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package that is made up: its metadata and its files, on the path."""
    site = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, version: str, files: dict[str, str]) -> None:
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        record = "".join(f"{file},,\n" for file in files)
        (info / "RECORD").write_text(f"{record}{info.name}/METADATA,,\n../../bin/tool.py,,\n")
        for file, text in files.items():
            path = site / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    return install


def names(*want: bool) -> list[str]:
    """File names that fall, in this order, into the held-out split (True) or the other (False)."""
    found: list[str] = []
    candidates = iter(range(10_000))
    for held_out in want:
        number = next(n for n in candidates if is_held_out(PurePosixPath(f"pkg/m{n:04}.py")) == held_out)
        found.append(f"pkg/m{number:04}.py")
    return found


def module(*docstrings: str) -> str:
    body = "".join(f'def f{i}():\n    """{text}"""\n\n' for i, text in enumerate(docstrings))
    return body or "pass\n"


def test_docstrings_are_named_by_file_and_place(install: Install, constraints: Path) -> None:
    source = (
        f'"""{PROSE} 1."""\n\n'
        f'class A:\n    """{PROSE} 2."""\n\n'
        f'    async def f(self):\n        """{PROSE} 3.\n\n        And more.\n        """\n\n'
        f'        def inner():\n            """{PROSE} 4."""\n\n'
        f'if True:\n    def g():\n        """{PROSE} 5."""\n\n'
        'def short():\n    """See base class."""\n'
    )
    install("made-up-package", "1.2", {"pkg/a.py": source, "pkg/data.txt": PROSE, "pkg/broken.py": "def ("})
    found = [(d.name, d.text) for d in read(["made-up-package"], "all", constraints)]
    assert found == [
        ("pkg/a.py", f"{PROSE} 1."),
        ("pkg/a.py::A", f"{PROSE} 2."),
        ("pkg/a.py::A.f", f"{PROSE} 3.\n\nAnd more."),
        ("pkg/a.py::A.f.inner", f"{PROSE} 4."),
        ("pkg/a.py::g", f"{PROSE} 5."),
    ]


def test_a_text_occurs_once_and_the_splits_share_none(install: Install, constraints: Path) -> None:
    first, second, held = names(False, False, True)
    files = {
        first: module(f"{PROSE} a", f"{PROSE} b", f"{PROSE} both"),
        second: module(f"{PROSE} b", f"{PROSE} c"),
        held: module(f"{PROSE} both", f"{PROSE} d", f"{PROSE} d"),
    }
    install("made-up-package", "1.2", files)
    texts = {
        split: [d.text.removeprefix(f"{PROSE} ") for d in read(["made-up-package"], split, constraints)]
        for split in ("train", "held-out", "all")
    }
    assert texts["train"] == ["a", "b", "c"]
    assert texts["held-out"] == ["both", "d"]
    assert sorted(texts["all"]) == ["a", "b", "both", "c", "d"]


def test_real_packages_have_disjoint_splits(tmp_path: Path) -> None:
    from importlib.metadata import version

    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"click=={version('click')}\n")
    train = {d.text for d in read(["click"], "train", constraints)}
    held_out = {d.text for d in read(["click"], "held-out", constraints)}
    both = [d.text for d in read(["click"], "all", constraints)]
    assert len(train) > 50
    assert held_out
    assert not train & held_out
    assert len(both) == len(set(both))
    assert set(both) == train | held_out


def test_about_a_tenth_of_the_files_are_held_out() -> None:
    share = sum(is_held_out(PurePosixPath(f"pkg/m{n}.py")) for n in range(5000)) / 5000
    assert 0.08 < share < 0.12


def test_half_a_surrogate_pair_is_no_trouble(install: Install, constraints: Path) -> None:
    install("made-up-package", "1.2", {"pkg/a.py": module(rf"{PROSE} \ud800")})
    assert [d.text for d in read(["made-up-package"], "train", constraints)] == [f"{PROSE} \ud800"]


def test_pins_are_read_by_normalised_name(constraints: Path) -> None:
    assert read_pins(constraints) == {"made-up-package": "1.2", "other": "3.4"}


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        (
            "unpinned",
            "corpus.packages names unpinned, which constraints.txt does not pin; add a line 'unpinned==VERSION'",
        ),
        ("other", "corpus.packages names other, which is not installed; run pip install -c constraints.txt other"),
        ("made-up-package", "expected made-up-package 1.2 as pinned in constraints.txt, but 1.3 is installed"),
    ],
)
def test_a_package_that_is_not_as_pinned_is_a_mistake(
    install: Install, constraints: Path, package: str, expected: str
) -> None:
    install("made-up-package", "1.3", {"pkg/a.py": module(PROSE)})
    with pytest.raises(GlossaError) as caught:
        list(read([package], "all", constraints))
    assert str(caught.value).startswith(expected)


def test_a_local_build_label_does_not_matter(install: Install, constraints: Path) -> None:
    install("made-up-package", "1.2+cpu", {"pkg/a.py": module(PROSE)})
    assert len(list(read(["Made_Up.Package"], "all", constraints))) == 1


def test_a_missing_constraints_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(GlossaError, match=r"expected the pinned versions in .*none\.txt, but there is no such file"):
        list(read(["click"], "all", tmp_path / "none.txt"))


def test_nothing_is_imported(install: Install, constraints: Path) -> None:
    install("made-up-package", "1.2", {"pkg_never_imported.py": f'"""{PROSE}."""\nraise SystemExit\n'})
    assert len(list(installed_docs.read(["made-up-package"], "all", constraints))) == 1
    assert "pkg_never_imported" not in sys.modules
