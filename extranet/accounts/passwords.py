"""Passwords: the policy, the Argon2id hash, its seal, and how many may be hashed at once.

The stored value is ``seal(argon2 string)`` bound to tenant and user: a hash copied to another row or tenant is noise.
"""

from __future__ import annotations

import re
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from extranet.accounts.common_words import DUTCH, FRENCH
from extranet.accounts.giving_way import Aside, Result
from extranet.accounts.slots import SharedSlots, Slots
from extranet.accounts.turns import Turns
from extranet.errors import Invalid, NoSlot
from extranet.i18n import gettext as _
from extranet.models.user import PASSWORD_SEAL
from tenants.errors import BadSeal
from tenants.keys import TenantKeys

SHORTEST = 12
# Hashing 10 MB costs 65 ms before Argon2 begins; nobody types a kilobyte.
LONGEST_BYTES = 1024
_WEAKEST_SCORE = 3
_SCORED_CHARACTERS = 72
_SHORTEST_WORD = 3
_SLOT_WAIT_SECONDS = 2.0
# In one process. Whoever waits holds one of its threads, and the others are for everybody's other pages.
LONGEST_QUEUE = 8
_LONGEST_CROWD = 2


@dataclass(frozen=True, slots=True)
class Cost:
    """Argon2id parameters; memory in KiB. One lane: more only add contention on few cores."""

    time: int = 3
    memory: int = 32 * 1024
    lanes: int = 1


FLOOR = Cost(time=2, memory=19 * 1024)
"""OWASP's minimum for Argon2id."""


class Passwords:
    """Hashes and verifies, at most ``slots`` at a time: worst-case memory is slots x cost, whatever the load.

    With a ``shared`` folder the slots are those of all processes that name it.
    """

    def __init__(self, cost: Cost, slots: int, shared: Path | None = None) -> None:
        self._hasher = PasswordHasher(cost.time, cost.memory, cost.lanes, hash_len=32, salt_len=16)
        self._slots = SharedSlots(slots, shared) if shared else Slots(slots)
        self._aside = Aside(slots)
        self._queue = threading.BoundedSemaphore(LONGEST_QUEUE)
        self._mine = threading.local()
        self._crowd_slot = SharedSlots(1, shared, "crowd-") if shared else Slots(1)
        self._crowd_queue = threading.BoundedSemaphore(_LONGEST_CROWD)
        began = time.monotonic()
        # Verifying against this costs what a real one costs, so a stranger cannot time which names exist.
        self._nobody = self._hasher.hash("nobody's password")
        # Of shared slots each process has one when all of them want it.
        self._own_slots = 1 if shared else slots
        self._turns = Turns((time.monotonic() - began) / self._own_slots)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue for a slot, for all that leads up to it; raise NoSlot at once when all are taken.

        A thread has one place, however often it asks.
        """
        if getattr(self._mine, "is_held", False):
            yield
            return
        with self._told_when_to_come_back():
            if not self._queue.acquire(blocking=False):
                raise NoSlot("The queue for a password slot is full.")
            self._mine.is_held = True
            try:
                yield
            finally:
                self._mine.is_held = False
                self._queue.release()

    @contextmanager
    def _told_when_to_come_back(self) -> Iterator[None]:
        try:
            yield
        except NoSlot as refused:
            refused.retry_after = self._turns.next()
            raise

    def hash(self, keys: TenantKeys, user_id: str, password: str) -> bytes:
        """Return what to store for a user's password, in the transaction that stores it; raise NoSlot."""
        return seal(keys, user_id, self.encoded(password))

    def encoded(self, password: str) -> str:
        """Return the hash of a password, for ``seal``; raise NoSlot."""
        with self._slot():
            return self._timed(lambda: self._hasher.hash(normalised(password)))

    def verify(self, keys: TenantKeys, user_id: str, stored: bytes, password: str, *, in_crowd: bool = False) -> bool:
        """Tell whether ``password`` is the one stored. Takes the same time for a wrong one and for nobody (b"").

        ``in_crowd`` is one of far too many: they share one slot, so that the others are left to everybody else.
        Raises NoSlot when all slots stay busy for two seconds.
        """
        encoded = opened(keys, user_id, stored)
        with self._crowd() if in_crowd else nullcontext(), self._slot():
            matches = self._matches(encoded or self._nobody, password)
            if encoded and self._hasher.check_needs_rehash(encoded):
                # Older, cheaper parameters answer sooner, which would tell that the account exists.
                self._matches(self._nobody, password)
        return matches and bool(encoded)

    def matches_any(self, encoded: Sequence[str], password: str) -> bool:
        """Tell whether a password is one of those with these hashes; takes a hash's time for each. Raises NoSlot."""
        if not encoded:
            return False
        with self._slot():
            return any(self._matches(each, password) for each in encoded)

    def needs_rehash(self, keys: TenantKeys, user_id: str, stored: bytes) -> bool:
        """Tell whether a stored hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(opened(keys, user_id, stored))

    def _matches(self, encoded: str, password: str) -> bool:
        try:
            return self._timed(lambda: self._hasher.verify(encoded, normalised(password)))
        except VerificationError:
            return False

    def _timed(self, work: Callable[[], Result]) -> Result:
        began = time.monotonic()
        try:
            return self._aside.run(work)
        finally:
            self._turns.note((time.monotonic() - began) / self._own_slots)

    @contextmanager
    def _crowd(self) -> Iterator[None]:
        if not self._crowd_queue.acquire(blocking=False):
            raise NoSlot("The crowd is too large.")
        try:
            with self._crowd_slot.take(_SLOT_WAIT_SECONDS):
                yield
        finally:
            self._crowd_queue.release()

    @contextmanager
    def _slot(self) -> Iterator[None]:
        with self.place(), self._slots.take(_SLOT_WAIT_SECONDS):
            yield


def seal(keys: TenantKeys, user_id: str, encoded: str) -> bytes:
    """Return what to store of a hash. Only once the transaction that stores it has begun.

    A rotation of the tenant's keys passes between two transactions: what was sealed before it and stored after it
    would not open when the old key is retired.
    """
    return keys.seal(PASSWORD_SEAL.purpose, encoded.encode(), context=PASSWORD_SEAL.bound_to(user_id))


def opened(keys: TenantKeys, user_id: str, stored: bytes) -> str:
    """Return the hash under a seal; "" when there is none or it does not hold.

    That is what to compare when the question is whether a password is still the same: its seal may be another one.
    """
    if not stored:
        return ""
    try:
        return keys.open(PASSWORD_SEAL.purpose, stored, context=PASSWORD_SEAL.bound_to(user_id)).decode()
    except BadSeal:
        return ""


@lru_cache(maxsize=1)
def command_line_passwords() -> Passwords:
    """Return hashing at full cost for a command, made when one first needs it: making it costs a hash."""
    return Passwords(Cost(), slots=1)


def too_long(password: str) -> bool:
    """Tell whether a password is over the limit, before anything is computed from it."""
    return len(password) > LONGEST_BYTES or len(password.encode("utf-8", "replace")) > LONGEST_BYTES


def check_new_password(password: str, words: list[str], shortest: int = SHORTEST) -> int:
    """Raise Invalid for a password that is too short, too long or easy to guess; return how good it is, 3 or 4.

    ``words`` are what a guesser of this person would try first: their names and the tenant's. What holds for one
    person is put together by ``new_passwords.password_rules``.
    """
    if too_long(password):
        raise Invalid("password", _("This password is too long: at most %(count)s bytes.", count=LONGEST_BYTES))
    if len(normalised(password)) < shortest:
        raise Invalid("password", _("Use at least %(count)s characters.", count=shortest))
    if any(unicodedata.category(character) == "Cc" for character in password):
        raise Invalid("password", _("A password holds no control characters."))
    score = estimate(password, words)
    if score < _WEAKEST_SCORE:
        raise Invalid(
            "password", _("This password is easy to guess. Try four or five unrelated words, or a longer phrase.")
        )
    return score


def estimate(password: str, words: list[str]) -> int:
    """Return how hard a password is to guess, from 0 to 4. Of one that is far too long only the beginning is read."""
    # zxcvbn grows with the square of the length: 67 ms at 72 characters. Each word that is taken out makes it shorter.
    known = _without(password[:LONGEST_BYTES], words)
    score: int = _estimator()(known[:_SCORED_CHARACTERS])["score"]
    return score


@lru_cache(maxsize=1)
def _estimator() -> Any:
    # 40 ms to import, wanted only where a password is chosen.
    from zxcvbn import zxcvbn
    from zxcvbn.matching import add_frequency_lists

    add_frequency_lists({"french": FRENCH.split(), "dutch": DUTCH.split()})
    return zxcvbn


def _without(password: str, words: list[str]) -> str:
    # Each of them counts as one letter. zxcvbn's own list of such words lets "anna martin acme" pass.
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= _SHORTEST_WORD:
            password = re.sub(re.escape(word), word[0], password, flags=re.IGNORECASE)
    return password


def normalised(password: str) -> str:
    """Return a password in the one form that is hashed: keyboards differ in how they compose accents."""
    return unicodedata.normalize("NFC", password)
