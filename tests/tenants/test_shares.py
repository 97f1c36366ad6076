from __future__ import annotations

import fcntl
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tenants import shares
from tenants.errors import TenantUnavailable
from tenants.servers import Server
from tenants.settings import read_settings
from tenants.shares import take_share
from tenants.tenancy import Tenancy, initialise
from tests.tenants.world import HISTORY, in_children

PG1 = Server("pg1", "host=127.0.0.1", False, 50)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "slots" / "connections"


def held_in(folder: Path) -> int:
    """Count the descriptors of this process on the locks in a folder."""
    links = (os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if _is_open(name))
    return sum(link.startswith(str(folder)) for link in links)


def _is_open(descriptor: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


def forgotten() -> None:
    """Know nothing of what a parent process holds."""
    shares._held.clear()


def test_a_share_is_taken_once_and_held(folder: Path) -> None:
    for _ in range(3):
        take_share(folder, 2)
    assert held_in(folder) == 1
    assert folder.stat().st_mode & 0o777 == 0o700


def test_threads_that_ask_at_once_take_one_share(folder: Path) -> None:
    # Each used to take one of its own, and a worker that came later found none.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: take_share(folder, 8), range(8)))
    assert held_in(folder) == 1


def test_no_more_processes_than_shares_are_served(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_WAIT_SECONDS", 0.2)
    gate = folder.parent.parent

    def hold() -> str:
        forgotten()
        try:
            take_share(folder, 3)
        except TenantUnavailable as error:
            (gate / f"done-{os.getpid()}").touch()
            return str(error)
        (gate / f"done-{os.getpid()}").touch()
        # Nobody ends before all have tried.
        end = time.monotonic() + 10
        while len(list(gate.glob("done-*"))) < 5 and time.monotonic() < end:
            time.sleep(0.01)
        return "taken"

    answers = in_children([hold] * 5)
    assert answers.count("taken") == 3
    assert set(answers) - {"taken"} == {"All 3 shares of the server's connections are taken by other processes."}


def test_who_finds_no_share_is_told_why(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_WAIT_SECONDS", 0.1)
    folder.mkdir(parents=True)
    with (folder / "0.lock").open("w") as others:
        fcntl.flock(others, fcntl.LOCK_EX)
        with pytest.raises(TenantUnavailable, match="All 1 shares"):
            take_share(folder, 1)
    take_share(folder, 1)


def test_a_share_is_free_again_when_its_process_is_dead(folder: Path) -> None:
    def hold() -> None:
        forgotten()
        take_share(folder, 1)

    for _ in range(2):
        in_children([hold])
    hold()


def test_a_worker_waits_for_the_share_of_the_one_it_replaces(folder: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        forgotten()
        take_share(folder, 1)
        os.write(writer, b"x")
        time.sleep(0.3)
        os._exit(0)
    os.read(reader, 1)
    began = time.monotonic()
    take_share(folder, 1)
    assert time.monotonic() - began > 0.1
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("workers", "nodes", "connections", "share"), [(2, 1, 50, 15), (2, 2, 50, 7), (4, 1, 104, 20), (2, 1, 5, 1)]
)
def test_serving_processes_and_operators_together_stay_within_what_a_server_gives(
    tmp_path: Path, workers: int, nodes: int, connections: int, share: int
) -> None:
    settings = read_settings(
        {"EXTRANET_HOME": str(tmp_path / "home"), "EXTRANET_WORKERS": str(workers), "EXTRANET_NODES": str(nodes)}
    )
    initialise(settings)
    with Tenancy.open(settings, HISTORY, serving=True) as tenancy:
        tenancy.servers.add(Server("pg1", "host=127.0.0.1", False, connections))
        assert tenancy.servers.budget_of("pg1", lambda: False).limit == share
    assert (workers + 1) * nodes * share + 4 <= max(connections, 4 + (workers + 1) * nodes)
    assert held_in(settings.home / "slots" / "connections") == 1


def test_a_command_takes_no_share(tmp_path: Path) -> None:
    settings = read_settings({"EXTRANET_HOME": str(tmp_path / "home")})
    initialise(settings)
    with Tenancy.open(settings, HISTORY) as tenancy:
        tenancy.servers.add(PG1)
        assert tenancy.servers.budget_of("pg1", lambda: False).limit == 4
    assert not (settings.home / "slots").exists()
