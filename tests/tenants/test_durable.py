from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

import pytest

from tenants.durable import sync, write_new
from tests.tenants.world import in_children


def test_a_new_file_is_whole_private_and_alone(tmp_path: Path) -> None:
    write_new(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_exists_is_never_replaced(tmp_path: Path) -> None:
    write_new(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


def test_of_many_writers_one_wins_and_nothing_is_mixed(tmp_path: Path) -> None:
    def write(number: int) -> bool:
        try:
            write_new(tmp_path / "file", bytes([number]) * 10_000)
        except FileExistsError:
            return False
        return True

    won = in_children([partial(write, number) for number in range(8)])
    assert sum(won) == 1
    assert (tmp_path / "file").read_bytes() == bytes([won.index(True)]) * 10_000


def test_a_symlink_is_not_followed_to_be_synced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    sync(tmp_path)
    with pytest.raises(OSError, match="symbolic"):
        sync(tmp_path / "link")
