"""Slots for hashing: bounded over threads and over processes, and given back whatever happens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from extranet.accounts.slots import SharedSlots, Slots
from extranet.errors import NoSlot


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
