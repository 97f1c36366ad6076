"""Slots for hashing: bounded over threads and over processes, and given back whatever happens."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import update

from extranet.accounts.passwords import LONGEST_QUEUE
from extranet.accounts.slots import SharedSlots, Slots
from extranet.errors import NoSlot
from extranet.models import Company
from tests.platform import PASSWORD, Platform


def test_a_process_has_as_many_slots_as_it_was_given() -> None:
    slots = Slots(2)
    with slots.take(0), slots.take(0), pytest.raises(NoSlot), slots.take(0.01):
        pass
    with slots.take(0):
        pass


def test_those_who_name_one_folder_share_its_slots(tmp_path: Path) -> None:
    one, other = SharedSlots(2, tmp_path), SharedSlots(2, tmp_path)
    with one.take(0), one.take(0), pytest.raises(NoSlot), other.take(0.01):
        pass
    with other.take(0), one.take(0):
        pass


def test_a_slot_is_given_back_when_its_holder_fails(tmp_path: Path) -> None:
    slots = SharedSlots(1, tmp_path)
    with pytest.raises(ZeroDivisionError), slots.take(0):
        raise ZeroDivisionError
    with slots.take(0):
        pass


def test_a_slot_is_given_back_when_its_holder_is_killed(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from extranet.accounts.slots import SharedSlots\n"
        "with SharedSlots(1, Path(sys.argv[1])).take(0): print('held', flush=True); time.sleep(60)"
    )
    slots = SharedSlots(1, tmp_path)
    with subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(NoSlot), slots.take(0):
                pass
        finally:
            holder.kill()
    with slots.take(1):
        pass


def test_the_next_in_a_process_has_a_slot_as_soon_as_it_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without looking for it all the time: that alone took a twenty-fifth of a core in each worker."""
    monkeypatch.setattr("extranet.accounts.slots._LOOK_AGAIN_SECONDS", 60)
    slots = SharedSlots(1, tmp_path)
    taken = threading.Event()

    def take() -> float:
        with slots.take(60):
            taken.set()
            return time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        with slots.take(0):
            next_one = pool.submit(take)
            assert not taken.wait(0.1)
            given_back = time.monotonic()
        assert next_one.result(10) - given_back < 5


def test_a_process_that_holds_another_slot_leaves_the_one_it_gives_back_to_whoever_finds_it(tmp_path: Path) -> None:
    slots = SharedSlots(2, tmp_path)
    with slots.take(0):
        with slots.take(0):
            pass
        assert not slots._given_back.is_set()
    assert slots._given_back.is_set()


def test_those_who_find_the_queue_full_are_told_at_once(platform: Platform) -> None:
    """Else a storm of sign-ins would hold every thread of a worker, and nobody else would get a page."""
    keys, passwords = platform.tenancy.keys_of(platform.tenant("acme")), platform.passwords
    with ThreadPoolExecutor(LONGEST_QUEUE) as pool, ExitStack() as held:
        held.enter_context(passwords._slots.take(1))
        waiting = [pool.submit(passwords.verify, keys, "", b"", "x") for _ in range(LONGEST_QUEUE)]
        while passwords._queue.acquire(blocking=False):
            passwords._queue.release()
        with pytest.raises(NoSlot, match="queue"):
            passwords.verify(keys, "", b"", "x")
        held.close()
        assert [future.result() for future in waiting] == [False] * LONGEST_QUEUE


def test_whoever_finds_no_place_is_told_at_once_even_while_others_write(platform: Platform) -> None:
    """Else two hundred at one tenant would wait for its database with all threads there are."""
    visitor, reader = platform.browser(), platform.signed_in("acme", "ben")
    token = visitor.token()
    with ThreadPoolExecutor(LONGEST_QUEUE) as pool, ExitStack() as held:
        leave = threading.Event()
        held.callback(leave.set)
        arrived = threading.Semaphore(0)

        def stay() -> None:
            with platform.passwords.place():
                arrived.release()
                leave.wait()

        for _ in range(LONGEST_QUEUE):
            pool.submit(stay)
        for _ in range(LONGEST_QUEUE):
            arrived.acquire()
        # Somebody writes at this tenant all the while: who is refused must not even want to.
        db = held.enter_context(platform.db("acme"))
        db.execute(update(Company).values(accent_hue=10))
        started = time.monotonic()
        refused = visitor.post("/login", {"username": "anna", "password": PASSWORD}, token=token)
        assert time.monotonic() - started < 1
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "3")
        assert "Many people are signing in" in refused.text
        assert reader.get("/preferences/profile").status_code == 200
        db.rollback()
    assert visitor.sign_in("anna", PASSWORD).headers["Location"] == "/"
