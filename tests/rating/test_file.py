from __future__ import annotations

import json
from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.explainers.rows import Row
from stages.rating import file
from tests.rating.answered import HASHES, rating, row, write

ROW = Row("one", HASHES["one"], 2, 20, "0" * 64, "a\u2028 “cat”", "Ada", None, "")


def test_rows_are_added_behind_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    file.append(path, ROW)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))  # as an editor may leave it
    file.append(path, ROW._replace(latent=3))
    assert len(path.read_text().splitlines()) == 2
    assert "“cat”" in path.read_text()
    found = file.read(path, rated=False)
    assert [one._replace(sha256="") for one in found] == [ROW, ROW._replace(latent=3)]
    rated = tmp_path / "y"
    file.append(rated, ROW._replace(rating=4))
    assert json.loads(rated.read_text())["schema"] == "glossa/rated"
    assert file.read(rated, rated=True)[0].rating == 4


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    file.append(path, ROW)
    before = path.read_bytes()
    write = file.os.write
    monkeypatch.setattr(file.os, "write", lambda number, line: write(number, line[:10]))
    with pytest.raises(OSError, match="No space"):
        file.append(path, ROW)
    assert path.read_bytes() == before


@pytest.mark.usefixtures("place")
def test_whose_file_it_is() -> None:
    path = write(Path("x"), row(2, "a"), row(2, "b", coder="two"), row(7, "c", coder="before"))
    found = file.answered(path, False, "one", HASHES["one"], ["one", "two"])
    assert [one.explanation for one in found] == ["a"]
    write(path, row(7, "c", coder="before", coder_sha256=HASHES["one"]))
    assert [one.explanation for one in file.answered(path, False, "one", HASHES["one"], ["one"])] == ["c"]
    assert file.answered(path, False, "one", HASHES["one"], ["one", "before"]) == []
    assert file.answered(Path("new"), False, "one", HASHES["one"], ["one"]) == []
    with pytest.raises(
        GlossaError, match=r"about the coder one of sha256 555.* in x, found some about another of that name, 111"
    ):
        file.answered(write(path, row(2, "a")), False, "one", "5" * 64, ["one"])
    with pytest.raises(GlossaError, match="expected a folder for nowhere/x"):
        file.answered(Path("nowhere/x"), False, "one", "", ["one"])


@pytest.mark.usefixtures("place")
def test_only_ratings_of_the_scale_are_read() -> None:
    for value in (0, 5, True, "4", None):
        with pytest.raises(GlossaError, match="expected a rating from 1 to 4 in line 1 of x, found"):
            file.read(write(Path("x"), rating(2, "a", value)), rated=True)
