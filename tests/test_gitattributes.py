"""A clone has the same bytes wherever it is made: DVC would else take a line ending for a change of code or params."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clones import ROOT

DATA = (
    "a.gguf",
    "a.parquet",
    "a.png",
    "a.ttf",
    "demo/a.safetensors",
    "a.npy",
    "a.zip",
    "corpus.jsonl",
    "corpus.txt",
    "a.csv",
    "cfg.json",
    "corpus",
)

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")


def git(*words: str, folder: Path = ROOT) -> bytes:
    return subprocess.run(["git", *words], cwd=folder, check=True, stdout=subprocess.PIPE).stdout


def test_a_clone_that_converts_line_endings_has_the_committed_bytes(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git("clone", "-q", "--shared", "-c", "core.autocrlf=true", str(ROOT), str(clone))
    entries = git("ls-files", "-s", "-z", folder=clone).decode().rstrip("\0").split("\0")
    committed = {name: about.split()[1] for about, _, name in (entry.partition("\t") for entry in entries)}
    assert len(committed) > 500
    found = git("hash-object", "--no-filters", "--", *committed, folder=clone).decode().split()
    differing = [name for name, a in zip(committed, found, strict=True) if a != committed[name]]
    assert not differing
    assert git("status", "--porcelain", folder=clone) == b""


def test_code_that_is_written_on_windows_is_committed_with_line_feeds_and_data_as_they_are(tmp_path: Path) -> None:
    git("init", "-q", folder=tmp_path)
    git("config", "core.safecrlf", "false", folder=tmp_path)
    (tmp_path / ".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    (tmp_path / "code.py").write_bytes(b"a = 1\r\nb = 2\r\n")
    for name in DATA:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"looks like text\r\n")  # as a binary file may, and a corpus
    git("add", "-A", folder=tmp_path)
    assert git("show", ":code.py", folder=tmp_path) == b"a = 1\nb = 2\n"
    for name in DATA:
        assert git("show", f":{name}", folder=tmp_path) == b"looks like text\r\n", name
