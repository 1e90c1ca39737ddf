from __future__ import annotations

import errno
import fcntl
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from stages.machine import links


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source"
    file.write_bytes(b"events")
    file.chmod(0o444)  # as DVC leaves what it has cached
    return file


def refusing(number: int) -> Any:
    return mock.patch.object(Path, "hardlink_to", side_effect=OSError(number, "no"))


def test_a_link_is_the_same_bytes(source: Path, tmp_path: Path) -> None:
    assert links.link(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"events"


def test_without_reflinks_it_is_a_hard_link(source: Path, tmp_path: Path) -> None:
    with mock.patch.object(fcntl, "ioctl", side_effect=OSError(errno.EOPNOTSUPP, "no")):
        assert links.link(source, tmp_path / "target") == "hard link"
    assert (tmp_path / "target").samefile(source)


def test_a_reflink_is_another_file(source: Path, tmp_path: Path) -> None:
    def clone(new: int, request: int, old: int) -> int:
        assert request == 0x40049409
        with open(old, "rb", closefd=False) as file, open(new, "wb", closefd=False) as copy:
            shutil.copyfileobj(file, copy)
        return 0

    with mock.patch.object(fcntl, "ioctl", clone):
        assert links.link(source, tmp_path / "target") == "reflink"
    assert not (tmp_path / "target").samefile(source)
    assert (tmp_path / "target").read_bytes() == b"events"


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_where_there_are_no_links_nothing_is_left(source: Path, tmp_path: Path, number: int) -> None:
    with mock.patch.object(fcntl, "ioctl", side_effect=OSError(errno.ENOTTY, "no")), refusing(number):
        assert links.link(source, tmp_path / "target") is None
    assert not (tmp_path / "target").exists()


def test_what_a_copy_would_not_mend_is_raised(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        links.link(tmp_path / "nowhere", tmp_path / "target")
    (tmp_path / "there").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        links.link(source, tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"mine"
    with (
        mock.patch.object(fcntl, "ioctl", side_effect=OSError(errno.ENOSPC, "full")),
        pytest.raises(OSError, match="full"),
    ):
        links.link(source, tmp_path / "target")
    assert not (tmp_path / "target").exists()
