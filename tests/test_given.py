from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from stages import given
from stages.errors import GlossaError

TOLD = ("a file of x", "correct it")


def test_a_file_is_read_and_links_inside_are_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to("a")
    assert given.content(tmp_path / "b", *TOLD, inside=tmp_path) == b"x"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", "there is none"),
        ("a\0b", "there is none"),
        ("folder", "that is a folder"),
        ("pipe", "that is a pipe"),
        ("device", "that is a device"),
        ("circle", "there is none"),
        ("file/below", "there is none"),
    ],
)
def test_what_is_no_file_is_named(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(GlossaError) as raised:
        given.content(tmp_path / name, *TOLD)
    assert str(raised.value) == f"expected a file of x at {tmp_path / name}, but {said}; correct it"


def test_a_link_may_lead_into_dvc_s_cache_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/a").touch()
    (tmp_path / "project").mkdir()
    (tmp_path / "project/a").symlink_to(tmp_path / "cache/a")
    monkeypatch.setattr(given, "dvc_cache", lambda: tmp_path / "cache")
    given.check(tmp_path / "project/a", *TOLD, inside=tmp_path / "project")
    for cache in (None, tmp_path / "other"):
        monkeypatch.setattr(given, "dvc_cache", lambda cache=cache: cache)
        with pytest.raises(GlossaError, match=f"a link leads from there out of {tmp_path / 'project'}; put the file"):
            given.check(tmp_path / "project/a", *TOLD, inside=tmp_path / "project")


@pytest.mark.parametrize(("path", "inside"), [("a/b", Path()), ("../a", None), ("/a", None)])
def test_the_project_is_where_a_path_is_not_said_to_leave_it(path: str, inside: Path | None) -> None:
    assert given.project(path) == inside


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "it is no JSON"), (b"\xff", "it is no JSON"), ("9" * 5000, "a number in it has more than 4,300 digits")],
)
def test_json_that_is_none_is_half_a_sentence(text: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        given.parsed(text)


def test_json_that_the_parser_gives_up_on_is_nested_too_deeply() -> None:
    text = "[" * 300 + "]" * 300
    assert given.parsed(text)
    before = sys.getrecursionlimit()
    frames = len(__import__("inspect").stack())
    sys.setrecursionlimit(frames + 200)
    try:
        with pytest.raises(ValueError, match=r"^it is nested too deeply$"):
            given.parsed(text)
    finally:
        sys.setrecursionlimit(before)


def test_what_is_deep_or_endless_is_refused() -> None:
    assert given.shallow({"a": [1, (2, 3)]}, 6) == {"a": [1, (2, 3)]}
    with pytest.raises(ValueError, match=r"^it stands for more than 5 values$"):
        given.shallow({"a": [1, (2, 3)]}, 5)
    assert given.shallow(json.loads("[" * 99 + "]" * 99))
    circle: list[Any] = []
    circle.append(circle)
    for value in (json.loads("[" * 101 + "]" * 101), circle):
        with pytest.raises(ValueError, match=r"^it is nested too deeply$"):
            given.shallow(value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/below", "Not a directory"),
        ("file/below/that", "Not a directory"),
        ("nowhere/../file/below", "Not a directory"),
        ("dangling/below/../../file/below", "Not a directory"),
        ("circle", "Too many levels of symbolic links"),
        ("device", "that is a device"),
        ("pipe", "that is a pipe"),
        ("x" * 250, "File name too long"),
        ("/proc/x", "No such file or directory"),
        ("a\0b", "null"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_the_work(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "dangling").symlink_to("none")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(
        GlossaError, match=f"expected a place for a page at .*, but can't write there: .*{said}.*; name"
    ):
        given.target(tmp_path / name, "a page")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["file", "folder", "new", "new/below", "dangling", "dangling/below"])
def test_a_place_that_can_be_written_is_left_as_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("none")
    given.target(tmp_path / name, "a page")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "dangling"}
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", ["file", "full", "dangling"])
def test_only_a_new_or_empty_folder_is_written_into(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full/x").mkdir(parents=True)
    (tmp_path / "dangling").symlink_to("none")
    with pytest.raises(GlossaError, match=f"expected a new or an empty folder at .*{name}, but there is something"):
        given.new_folder(tmp_path / name)
    given.new_folder(tmp_path / "empty")
    given.new_folder(tmp_path / "new/below")
