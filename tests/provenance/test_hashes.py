from __future__ import annotations

import hashlib
from pathlib import Path

from stages.provenance.hashes import Disk, manifest_md5
from stages.provenance.lock import Entry, Lock
from tests.provenance.tampering import flip


def test_a_manifest_is_sorted_by_path_as_text_and_hashed_as_json() -> None:
    # Worked out by hand: "a.b/y" comes before "a/x", as "." does before "/".
    text = '[{"md5": "2", "relpath": "a.b/y"}, {"md5": "1", "relpath": "a/x"}]'
    assert manifest_md5({"a/x": "1", "a.b/y": "2"}) == hashlib.md5(text.encode()).hexdigest() + ".dir"


def test_every_hash_in_a_lock_that_dvc_wrote_is_found_again(project: Path) -> None:
    lock, disk = Lock.read(), Disk()
    entries = {entry for name in lock for entry in (*lock[name].deps, *lock[name].outs)}
    assert any(entry.md5 and entry.md5.endswith(".dir") for entry in entries)
    assert {entry.path: disk.md5(entry.path) for entry in entries} == {entry.path: entry.md5 for entry in entries}
    assert disk.md5("nowhere") is None


def test_what_dvc_ignores_does_not_count(project: Path) -> None:
    before = Disk().md5("coders/one")
    (project / "coders/one/__pycache__").mkdir()
    (project / "coders/one/__pycache__/x.pyc").write_text("x")
    assert Disk().md5("coders/one") == before
    (project / "coders/one/new.txt").write_text("x")
    assert Disk().md5("coders/one") != before


def test_files_are_named_by_the_manifest_in_the_cache(project: Path) -> None:
    (out,) = Lock.read()["pipelines/one/dvc.yaml:sample"].outs
    folder = project / out.path
    flip(folder / "meta.json", 10)
    (folder / "windows.parquet").rename(folder / "other.parquet")
    said = Disk().difference(out)
    assert said == "windows.parquet is gone, other.parquet is new, meta.json has changed"
    cached = project / ".dvc/cache/files/md5" / (out.md5 or "")[:2] / (out.md5 or "")[2:]
    cached.chmod(0o644)
    cached.write_text(
        cached.read_text().replace("meta.json", "meta.jsom")
    )  # the cache is no better than what it hashes
    assert Disk().difference(out) == ""


def test_copies_that_are_damaged_as_well_are_named(project: Path) -> None:
    (out,) = Lock.read()["pipelines/one/dvc.yaml:sample"].outs
    md5 = Disk()._read(out.path)[1]["windows.parquet"]
    folder, copy = project / out.path, Path(".dvc/cache/files/md5", md5[:2], md5[2:])
    flip(folder / "windows.parquet", 10)
    assert Disk().damaged(out) == []
    copy.chmod(0o644)
    flip(project / copy, 10)
    assert Disk().damaged(out) == [copy]
    (folder / "windows.parquet").unlink()
    assert Disk().damaged(out) == [copy]
    alone = Entry("params.yaml", md5)
    assert Disk().damaged(alone) == [copy]
    flip(project / copy, 10)
    assert Disk().damaged(alone) == Disk().damaged(out) == []
    listing = Path(".dvc/cache/files/md5", (out.md5 or "")[:2], (out.md5 or "")[2:])
    listing.chmod(0o644)
    listing.write_text("[]")
    assert Disk().damaged(out) == [listing]
    assert Disk().damaged(Entry("params.yaml", None)) == []
