from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from stages.machine import content_store, links
from stages.machine.content_store import ContentStore, DamagedError, NotKeptError
from tests import nursery
from tests.folders import tree

SIZE = 1000
PARTS = ("a", "b")


@pytest.fixture
def kept(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "stores", 10 * SIZE)


def about(name: str) -> dict[str, Any]:
    return {"name": name, "bits": 7, "packages": {"numpy": "2", "zarr": None}}


def made(folder: Path, name: str) -> Path:
    """A folder with SIZE bytes in two parts, and something that is not kept."""
    for file in (f"a/c/{name}", "b/list", "other"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / "a/c" / name).write_text(name.ljust(SIZE - 100))
    (folder / "b/list").write_text("b" * 100)
    (folder / "other").write_text("not kept")
    return folder


def keep(kept: ContentStore, tmp_path: Path, *names: str) -> None:
    """Keeps one after the other."""
    for age, name in enumerate(names):
        kept.keep(about(name), made(tmp_path / "made" / name, name), PARTS)
        manifest = place(kept, name) / content_store.MANIFEST
        os.utime(manifest, ns=(age * 10**9, age * 10**9))


def place(kept: ContentStore, name: str) -> Path:
    return kept._place(about(name))


def names(kept: ContentStore) -> set[str]:
    """What is kept, by name; nothing else may be there but the lock."""
    found = {path for path in kept.folder.iterdir() if path.is_dir()}
    return {json.loads((path / content_store.MANIFEST).read_text())["about"]["name"] for path in found}


def taken(kept: ContentStore, tmp_path: Path, name: str) -> dict[str, bytes] | None:
    into = tmp_path / "taken"
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    return tree(into) if kept.take(about(name), into) else None


def no_links() -> Any:
    return mock.patch.object(links, "link", return_value=None)


def test_what_is_kept_is_taken(kept: ContentStore, tmp_path: Path) -> None:
    assert taken(kept, tmp_path, "x") is None
    keep(kept, tmp_path, "x")
    assert kept.has(about("x"))
    expected = tree(tmp_path / "made/x")
    del expected["other"]
    shutil.rmtree(tmp_path / "made")
    assert taken(kept, tmp_path, "x") == expected
    assert taken(kept, tmp_path, "x") == expected
    assert taken(kept, tmp_path, "y") is None


def test_anything_it_depends_on_makes_another(kept: ContentStore, tmp_path: Path) -> None:
    keep(kept, tmp_path, "x")
    for change in ({"bits": 8}, {"packages": {"numpy": "2"}}, {"new": False}):
        assert not kept.has({**about("x"), **change})
    assert kept.has(dict(reversed(about("x").items())))


def test_files_are_linked_and_never_written_into(kept: ContentStore, tmp_path: Path) -> None:
    source = made(tmp_path / "made", "x")
    for file in source.rglob("*"):
        if file.is_file():
            file.chmod(0o444)  # as DVC leaves them
    (tmp_path / "taken").mkdir()
    with mock.patch.object(fcntl, "ioctl", side_effect=OSError(errno.EOPNOTSUPP, "no reflinks")):
        kept.keep(about("x"), source, PARTS)
        kept.take(about("x"), tmp_path / "taken")
    assert (tmp_path / "taken/b/list").samefile(source / "b/list")
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in source.rglob("*") if file.is_file()}
    ContentStore(kept.folder, 0).trim()
    assert not kept.has(about("x"))
    assert before == {
        file: (file.stat().st_mtime_ns, file.read_bytes()) for file in source.rglob("*") if file.is_file()
    }


def test_without_links_it_is_copied(kept: ContentStore, tmp_path: Path) -> None:
    with no_links():
        keep(kept, tmp_path, "x")
        assert taken(kept, tmp_path, "x") == {k: v for k, v in tree(tmp_path / "made/x").items() if k != "other"}
    assert not (tmp_path / "taken/b/list").samefile(tmp_path / "made/x/b/list")


@pytest.mark.parametrize("how", [None, "hard link"])
def test_it_is_kept_only_where_there_is_room(kept: ContentStore, tmp_path: Path, how: links.Link | None) -> None:
    """A hard link takes its room once DVC has replaced the output by a copy."""
    linked = mock.patch.object(links, "link", side_effect=lambda old, new: how and (shutil.copyfile(old, new), how)[1])
    with linked, mock.patch.object(content_store.shutil, "disk_usage") as usage:
        usage.return_value = SimpleNamespace(free=2 * SIZE)
        keep(kept, tmp_path, "x")
        usage.return_value = SimpleNamespace(free=2 * SIZE - 1)
        with pytest.raises(NotKeptError, match=r"with DVC's own copy it takes 0.0 GB, and 0.0 are free in .*stores"):
            keep(kept, tmp_path, "y")
    assert names(kept) == {"x"}


def test_reflinks_take_no_room(kept: ContentStore, tmp_path: Path) -> None:
    linked = mock.patch.object(links, "link", side_effect=lambda old, new: shutil.copyfile(old, new) and "reflink")
    with linked, mock.patch.object(content_store.shutil, "disk_usage", return_value=SimpleNamespace(free=0)):
        keep(kept, tmp_path, "x")
    assert taken(kept, tmp_path, "x") is not None


def edit(file: Path) -> None:
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-1] + b"!")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2])


@pytest.mark.parametrize("name", ["content/a/c/x", "content/b/list", "manifest.json"])
@pytest.mark.parametrize("damage", [edit, truncate, Path.unlink, lambda file: file.write_bytes(b"")])
def test_what_is_damaged_is_deleted(
    kept: ContentStore, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    keep(kept, tmp_path, "x", "y")
    damage(place(kept, "x") / name)
    if name == "manifest.json" and damage is Path.unlink:
        assert taken(kept, tmp_path, "x") is None
    else:
        with pytest.raises(DamagedError, match=name.removeprefix("content/")):
            taken(kept, tmp_path, "x")
    assert not any((tmp_path / "taken").iterdir())
    assert not kept.has(about("x"))
    keep(kept, tmp_path, "x")
    assert taken(kept, tmp_path, "x") is not None
    assert names(kept) == {"x", "y"}


def test_a_manifest_of_another_content_is_damage(kept: ContentStore, tmp_path: Path) -> None:
    keep(kept, tmp_path, "x", "y")
    shutil.rmtree(place(kept, "x"))
    place(kept, "y").rename(place(kept, "x"))
    with pytest.raises(DamagedError, match=r"manifest.json is not what it was"):
        taken(kept, tmp_path, "x")


def test_what_was_used_least_lately_goes_first(kept: ContentStore, tmp_path: Path) -> None:
    keep(kept, tmp_path, *"abcdefghij")
    assert names(kept) == set("abcdefghij")
    assert taken(kept, tmp_path, "a") is not None
    keep(kept, tmp_path, "k")
    assert names(kept) == set("acdefghijk")
    smaller = ContentStore(kept.folder, 3 * SIZE)
    smaller.trim()
    assert names(kept) == {"a", "i", "j"}, "k is as old as it was said to be"


def test_what_is_larger_than_all_is_not_kept_and_nothing_goes_for_it(kept: ContentStore, tmp_path: Path) -> None:
    keep(kept, tmp_path, "a")
    with pytest.raises(NotKeptError, match=r"0.0 GB are more than the 0.0 of keep_gb in runtime.yaml"):
        ContentStore(kept.folder, SIZE - 1).keep(about("b"), made(tmp_path / "b", "b"), PARTS)
    assert names(kept) == {"a"}


def test_with_zero_nothing_is_kept_or_found(kept: ContentStore, tmp_path: Path) -> None:
    keep(kept, tmp_path, "a")
    none = ContentStore(kept.folder, 0)
    assert not none.has(about("a"))
    assert taken(none, tmp_path, "a") is None
    none.keep(about("b"), made(tmp_path / "b", "b"), PARTS)
    assert names(kept) == set()
    ContentStore(tmp_path / "nowhere", 0).trim()
    assert not (tmp_path / "nowhere").exists()


def test_what_is_in_use_stays(kept: ContentStore, tmp_path: Path) -> None:
    keep(kept, tmp_path, "a", "b")
    two = ContentStore(kept.folder, 2 * SIZE)
    real = content_store._hashes

    def slowly(folder: Path, files: Any) -> Any:
        """Meanwhile another process wants the room of all that is there."""
        with mock.patch.object(content_store, "_hashes", real):
            keep(two, tmp_path, "c")
            with pytest.raises(NotKeptError, match=r"0.0 of the 0.0 GB of keep_gb in runtime.yaml are in use"):
                ContentStore(kept.folder, SIZE).keep(about("d"), made(tmp_path / "d", "d"), PARTS)
        assert names(kept) == {"a"}
        return real(folder, files)

    with mock.patch.object(content_store, "_hashes", slowly):
        assert taken(kept, tmp_path, "a") is not None


def test_it_may_be_deleted_at_any_moment(kept: ContentStore, tmp_path: Path) -> None:
    real = content_store._put

    def interrupted(*arguments: Any) -> None:
        real(*arguments)
        shutil.rmtree(kept.folder)

    keep(kept, tmp_path, "a")
    with mock.patch.object(content_store, "_put", interrupted):
        assert taken(kept, tmp_path, "a") is not None, "it had it by then"
        with pytest.raises(NotKeptError, match="No such file or directory"):
            keep(kept, tmp_path, "a")
    keep(kept, tmp_path, "a")
    with mock.patch.object(content_store, "_put", side_effect=lambda *_: shutil.rmtree(kept.folder) or real(*_)):
        assert taken(kept, tmp_path, "a") is None
    assert not any((tmp_path / "taken").iterdir())


def test_two_may_keep_the_same_at_once(kept: ContentStore, tmp_path: Path) -> None:
    real = content_store._put

    def meanwhile(*arguments: Any) -> None:
        with mock.patch.object(content_store, "_put", real):
            keep(kept, tmp_path, "a")
        real(*arguments)

    with mock.patch.object(content_store, "_put", meanwhile):
        kept.keep(about("a"), made(tmp_path / "again", "a"), PARTS)
    assert names(kept) == {"a"}
    assert taken(kept, tmp_path, "a") is not None


def test_a_full_disk_is_a_reason_and_leaves_nothing(kept: ContentStore, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for name in ("link", "mkdir"):
        place_of = links if name == "link" else Path
        with mock.patch.object(place_of, name, side_effect=full), pytest.raises(NotKeptError, match="No space left"):
            kept.keep(about("a"), made(tmp_path / "a", "a") if name == "link" else tmp_path / "a", PARTS)
    assert names(kept) == set()
    keep(kept, tmp_path, "a")
    with mock.patch.object(links, "link", side_effect=full), pytest.raises(OSError, match="No space left"):
        taken(kept, tmp_path, "a")
    assert taken(kept, tmp_path, "a") is not None, "it was the other disk that was full"


def test_a_folder_without_its_manifest_makes_way(kept: ContentStore, tmp_path: Path) -> None:
    keep(kept, tmp_path, "a")
    (place(kept, "a") / content_store.MANIFEST).unlink()
    keep(kept, tmp_path, "a")
    assert taken(kept, tmp_path, "a") is not None


CODE = """
from stages.machine import links, content_store

folder, source = map(Path, sys.argv[1:])
mortal(
    (links, "link"), (content_store, "file_sha256"), (content_store, "dumps"), (Path, "rename"), (Path, "mkdir"), (content_store.shutil, "rmtree")
)

def work():
    content_store.ContentStore(folder, 2500).keep({"name": "x"}, source, ("a", "b"))
"""


def test_killed_at_any_moment_it_is_whole_or_not_there(tmp_path: Path) -> None:
    """Two are there and a third needs the room of the older: keeping, dropping and cleaning up are cut short at every step."""
    kept = ContentStore(tmp_path / "stores", 2500)
    source = made(tmp_path / "made", "x")
    ended, whole = [], []
    with nursery.opened(CODE, str(kept.folder), str(source)) as run:
        while not ended or ended[-1] == -signal.SIGKILL:
            shutil.rmtree(kept.folder, ignore_errors=True)
            for age, name in enumerate(("old", "new")):
                kept.keep({"name": name}, source, PARTS)
                os.utime(kept._place({"name": name}) / content_store.MANIFEST, ns=(age, age))
            ended.append(run(len(ended)))
            present = {name for name in ("old", "new", "x") if kept.has({"name": name})}
            assert "new" in present
            whole.append("x" in present)
            for name in present:
                (tmp_path / "into").mkdir()
                assert kept.take({"name": name}, tmp_path / "into")
                shutil.rmtree(tmp_path / "into")
            kept.keep({"name": "x"}, source, PARTS)
            assert kept.has({"name": "x"})
            kept.trim()
            assert {path.name for path in kept.folder.iterdir() if path.name.startswith(".")} == {content_store.LOCK}
    assert ended.pop() == 0
    assert len(ended) >= 8
    assert whole == sorted(whole)
    assert not whole[0]
    assert whole[-2], "it was killed after the last step that counts, too"
