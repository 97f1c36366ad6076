"""How many passwords may be hashed at once: over all workers together, so that none waits while another is idle."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from extranet.errors import NoSlot

# Within a process who gives a slot back wakes the next. Only for what another one gives back it is looked this often: a
# slot found so late stands empty for a twentieth of a hash. One thread of a process looks, the others queue for it.
_LOOK_AGAIN_SECONDS = 0.004


class Slots:
    """``count`` slots for the threads of one process."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def take(self, seconds: float) -> Iterator[None]:
        """Hold one slot; raise NoSlot when none becomes free in time."""
        if not self._free.acquire(timeout=seconds):
            raise NoSlot("All password slots are busy.")
        try:
            yield
        finally:
            self._free.release()


class SharedSlots:
    """``count`` slots for all processes that name the same folder, each a locked file.

    The kernel takes the lock back from a process that dies.
    """

    def __init__(self, count: int, folder: Path, name: str = "") -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._files = [folder / f"{name}{number}.lock" for number in range(count)]
        self._turn = threading.Lock()
        self._given_back = threading.Event()
        self._counting = threading.Lock()
        self._held = 0

    @contextmanager
    def take(self, seconds: float) -> Iterator[None]:
        """Hold one slot; raise NoSlot when none becomes free in time."""
        end = time.monotonic() + seconds
        with ExitStack() as stack:
            # Runs last, when the slot is free.
            stack.callback(self._wake_next)
            descriptors = [self._open(file, stack) for file in self._files]
            if not self._turn.acquire(timeout=max(0, seconds)):
                raise NoSlot("All password slots are busy.")
            try:
                self._wait_for_one(descriptors, end)
            finally:
                self._turn.release()
            self._count(1)
            stack.callback(self._count, -1)
            yield

    def _wait_for_one(self, descriptors: list[int], end: float) -> None:
        while not any(map(_lock, descriptors)):
            if time.monotonic() >= end:
                raise NoSlot("All password slots are busy.")
            self._given_back.wait(_LOOK_AGAIN_SECONDS)
            self._given_back.clear()

    def _count(self, change: int) -> None:
        with self._counting:
            self._held += change

    def _wake_next(self) -> None:
        # A process that still holds another one leaves this to whoever looks first: the next one waits elsewhere.
        if not self._held:
            self._given_back.set()

    def _open(self, file: Path, stack: ExitStack) -> int:
        # Opened anew each time: a lock belongs to what was opened, so it also keeps this process's threads apart.
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        stack.callback(os.close, descriptor)
        return descriptor


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
