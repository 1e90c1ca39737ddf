from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from stages.cli import main
from stages.errors import nearest, said


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("toknes", ["tokens", "corpus"], "did you mean tokens?"),
        ("resid", ["resid2", "resid1", "mlp"], "did you mean resid2 or resid1?"),
        ("xyz", ["b", "a"], "known are a, b"),
        ("xyz", [], "there are none"),
        ("zzz", [f"n{i:02}" for i in range(30)], "known are " + ", ".join(f"n{i:02}" for i in range(20)) + ", …"),
    ],
)
def test_nearest_names_the_closest_or_lists_what_is_known(name: str, known: list[str], expected: str) -> None:
    assert nearest(name, known) == expected


def test_nearest_does_not_depend_on_the_order_of_the_names() -> None:
    names = ["layers.0", "layers.1", "layers.10"]
    assert nearest("layer.1", names) == nearest("layer.1", reversed(names))


@pytest.mark.parametrize(
    ("error", "expected", "whole"),
    [
        (ValueError("a  b\nc"), "a b", "a b c"),
        (ValueError("one of: \n(1) a file, \n(2) another"), "one of: (1) a file", "one of: (1) a file, (2) another"),
        (ValueError("\n\nlate"), "late", "late"),
        (ValueError("nothing follows:"), "nothing follows", "nothing follows"),
        (ValueError(":\n"), "ValueError", "ValueError"),
        (OSError(), "OSError", "OSError"),
    ],
)
def test_what_an_exception_says_is_never_cut_at_a_colon(error: Exception, expected: str, whole: str) -> None:
    assert (said(error), said(error, whole=True)) == (expected, whole)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("cache nosuch", "coder nosuch"),
        ("sample nosuch", "coder nosuch"),
        ("explain nosuch pattern", "coder nosuch"),
        ("explain one nosuch", "explainer nosuch"),
        ("score nosuch pattern embedding", "coder nosuch"),
        ("score one pattern nosuch", "scorer nosuch"),
        ("show nosuch 3", "coder nosuch"),
        ("similar nosuch 3", "coder nosuch"),
        ("trace nosuch 3", "coder nosuch"),
        ("probe nosuch", "model nosuch"),
    ],
)
def test_a_name_that_params_do_not_have_is_told_with_those_that_they_have(
    finished_workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, what: str
) -> None:
    shutil.copytree(finished_workplace, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    result = CliRunner().invoke(main, words.split())
    assert result.exit_code == 1
    assert f"params.yaml has no {what}; " in result.output
    assert result.output.count("\n") == 1
