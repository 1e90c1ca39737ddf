import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.errors import GlossaError
from stages.machine import kept
from stages.machine.kept import UNFINISHED, Kept


@pytest.fixture
def store(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "pairs", "pair")


def test_what_was_put_is_got_and_counted(store: Kept) -> None:
    assert store.get("a") is None
    assert not store.folder.exists(), "looking makes nothing"
    store.put("a", b"one")
    store.put("b", b"")
    store.put("a", b"two")
    again = Kept(store.folder, "pair")
    assert (again.get("a"), again.get("b"), again.get("c")) == (b"two", b"", None)
    assert again.hits == 2
    assert sorted(file.name for file in store.folder.iterdir()) == ["a.pair", "b.pair"]


def test_whatever_byte_is_damaged_nothing_is_read_and_it_is_said(store: Kept, capsys: pytest.CaptureFixture) -> None:
    store.put("a", b"0123456789")
    file = store.folder / "a.pair"
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert store.get("a") is None, place
        file.write_bytes(whole[:place])
        assert store.get("a") is None, place
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{file} is damaged; what it holds is made anew"] * (2 * len(whole))
    store.put("a", b"0123456789")
    assert store.get("a") == b"0123456789"


def test_what_can_not_be_read_is_said(store: Kept, capsys: pytest.CaptureFixture) -> None:
    (store.folder / "a.pair").mkdir(parents=True)
    assert store.get("a") is None
    assert "a.pair can't be read (" in capsys.readouterr().err


def test_a_folder_that_can_not_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        GlossaError, match=r"results should be kept in .*file/pairs, but .*; delete it, or set GLOSSA_HOME"
    ):
        Kept(tmp_path / "file" / "pairs", "pair").put("a", b"")


def test_whoever_is_killed_while_writing_leaves_nothing_that_is_read(store: Kept) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from stages.machine.kept import Kept\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Kept(Path(sys.argv[1]), 'pair').put('a', b'1' * 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", code, store.folder], check=False)
    assert done.returncode == -9
    (partial,) = store.folder.iterdir()
    assert partial.name.endswith(UNFINISHED)
    assert store.get("a") is None
    store.make_room()
    assert partial.exists(), "another process may be about to finish it"
    os.utime(partial, (0, 0))
    store.make_room()
    assert not partial.exists()


def test_processes_that_write_at_once_never_read_half_of_it(store: Kept) -> None:
    code = (
        "import sys; from pathlib import Path; from stages.machine.kept import Kept\n"
        "store = Kept(Path(sys.argv[1]), 'pair')\n"
        "for n in range(300):\n"
        "    store.put('a', bytes([65 + n % 7]) * 50_000)\n"
        "    found = store.get('a')\n"
        "    assert found is not None and len(found) == 50_000 and len(set(found)) == 1\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, store.folder], stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    assert [process.communicate()[1] for process in running] == ["", ""]
    assert [file.name for file in store.folder.iterdir()] == ["a.pair"]


def test_what_was_not_used_for_longest_makes_room(store: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, key in enumerate("dcba"):
        store.put(key, b"x" * 1000)
        os.utime(store.folder / f"{key}.pair", (time.time() - 1000 + age,) * 2)
    size = (store.folder / "a.pair").stat().st_size
    monkeypatch.setattr(kept, "ROOM", 2 * size)
    later = Kept(store.folder, "pair")
    assert later.get("d") == b"x" * 1000, "now it is the newest"
    later.make_room()
    assert sorted(file.stem for file in store.folder.iterdir()) == ["a", "d"]
    for key in "bc":
        later.put(key, b"y" * 1000)
    later.get("a")
    later.make_room()
    assert len(list(store.folder.iterdir())) == 4, "what one process has used stays, whatever it takes"
    Kept(store.folder.parent / "nowhere", "pair").make_room()
