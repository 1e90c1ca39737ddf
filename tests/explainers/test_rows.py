from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from stages.errors import GlossaError
from stages.explainers import rows

GOOD: dict[str, Any] = {
    "schema": "s",
    "version": 1,
    "coder": "one",
    "coder_sha256": "1",
    "latent": 2,
    "windows": 20,
    "windows_sha256": "2",
    "explanation": "a",
    "by": None,
}


def test_rows_come_with_the_hash_of_their_line(tmp_path: Path) -> None:
    line = json.dumps(GOOD).encode()
    path = tmp_path / "x"
    path.write_bytes(b"\n" + line + b" \r\n\n" + line)
    first, second = rows.read(path, "s", 1)
    assert first == second == rows.Row("one", "1", 2, 20, "2", "a", None, None, hashlib.sha256(line).hexdigest())
    assert rows.line_hashes(path) == {first.sha256}


BAD = [
    ({"latent": -1}, r"expected latent, a number, in line 1 of .*, found -1"),
    ({"latent": True}, "latent, a number, .* found True"),
    ({"latent": "2"}, "latent, a number, .* found '2'"),
    ({"windows": 0}, "windows, a number"),
    ({"explanation": None}, "explanation, a text, .* found None"),
    ({"by": 3}, "by, a text, .* found 3"),
    ({"version": 2}, "expected a row of s version 1 in line 1 of .*, found s version 2; name another file"),
    ({"schema": "t"}, "found t version 1"),
]


@pytest.mark.parametrize(("change", "said"), BAD)
def test_what_is_wrong_is_named(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(GlossaError, match=said):
        rows.read(tmp_path / "x", "s", 1)


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"a": 1'])
def test_damage_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(json.dumps(GOOD).encode() + b"\n" + content)
    with pytest.raises(
        GlossaError, match=r"expected a row of s in line 2 of .*x, but it is no JSON; correct or delete it"
    ):
        rows.read(tmp_path / "x", "s", 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [("[" * 200 + "]" * 200, "nested too deeply"), (f'{{"latent": {"9" * 5000}}}', "more than 4,300 digits")],
)
def test_what_no_parser_likes_is_named(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(GlossaError, match=rf"in line 1 of .*x, but .*{said}; correct or delete it$"):
        rows.read(tmp_path / "x", "s", 1)


def test_no_row_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('[1]\n"text"')
    with pytest.raises(GlossaError, match=r"in line 1 of .*x, found another value"):
        rows.read(tmp_path / "x", "s", 1)
    (tmp_path / "x").write_text('{"latent": 2, "explanation": "of others"}')
    with pytest.raises(GlossaError, match=r"found a row without a schema"):
        rows.read(tmp_path / "x", "s", 1)
    for name, said in (("y", "but there is none"), (".", "but that is a folder")):
        with pytest.raises(GlossaError, match=re.escape(f"{said}; correct the path")):
            rows.read(tmp_path / name, "s", 1)
    without = {name: value for name, value in GOOD.items() if name != "by"}
    (tmp_path / "x").write_text(json.dumps(without))
    with pytest.raises(GlossaError, match=r"expected by, a text, in line 1 of .*x, found none"):
        rows.read(tmp_path / "x", "s", 1)


def test_whose_a_row_is() -> None:
    row = rows.Row("one", "1", 2, 20, "2", "a", None, None, "")
    assert rows.is_of(row, "one", "1", ["one"])
    assert not rows.is_of(row, "one", "3", ["one"])
    assert rows.is_of(row, "renamed", "1", ["renamed"])
    assert not rows.is_of(row, "same_weights", "1", ["one", "same_weights"])
