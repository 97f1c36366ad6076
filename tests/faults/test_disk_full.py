"""No room for a new tenant: refused in a sentence, nothing half done, and made once there is room."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.console import Console
from tests.platform import copy_home, open_platform
from tests.tenants.world import in_children

SIZE = 4 * 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "extranet-test", folder],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("Only root may mount a small disk; the other test limits the size of files instead.")
    yield folder
    subprocess.run(["umount", folder], check=True)


@contextmanager
def filled(disk: Path, but: int) -> Iterator[None]:
    """Leave that many bytes free."""
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - but))
    yield
    filler.unlink()


# What does not fit: the registry's own pages, its last words of what was undone, the template's copy, rows in it.
@pytest.mark.parametrize("free", [0, 20_000, 40_000, 65_536, 98_304, 262_144])
def test_a_tenant_that_does_not_fit_is_refused_and_made_when_it_does(
    pristine_home: Path, small_disk: Path, free: int
) -> None:
    console = Console(copy_home(pristine_home, small_disk / "home"))
    rows, files = console.contents()
    with filled(small_disk, free):
        refuses(console)
    left, left_files = console.contents()
    assert left_files == files
    # Where the registry has no room to forget it, it stays what it is: begun, led to by no host, made anew by the next.
    assert {(row[0], row[4]) for row in left if row not in rows and row[0] == "tenant"} <= {("tenant", "provisioning")}
    is_made_and_served(console)


def test_a_file_that_must_not_grow_is_refused_the_same_way(pristine_home: Path, tmp_path: Path) -> None:
    console = Console(copy_home(pristine_home, tmp_path / "home"))
    before = console.contents()

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        refuses(console)

    in_children([limited])
    assert console.contents() == before
    is_made_and_served(console)


def refuses(console: Console) -> None:
    said = console.create("initech").refusal
    assert any(word in said for word in ("No space left", "full", "File too large", "disk I/O error")), said


def is_made_and_served(console: Console) -> None:
    assert console.create("initech").exit_code == 0
    tenants = [row for row in console.contents()[0] if row[0] == "tenant"]
    assert [(row[2], row[4]) for row in tenants].count(("initech", "active")) == 1
    assert len(tenants) == 3
    platform = open_platform(console.home)
    for slug in ("acme", "globex"):
        assert platform.signed_in(slug).get("/").status_code == 200
    assert platform.browser("initech").get("/login").status_code == 200
    platform.close()
