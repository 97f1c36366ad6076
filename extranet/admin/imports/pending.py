"""An uploaded file between its preview and its end: sealed among the tenant's files, one for each administrator.

Its name is a MAC of whose it is, so that nothing has to come back from the browser, a newer upload takes the older
one's place, and whatever was left behind is found and removed. It says itself until when it may be used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from extranet.models.base import utc_now
from tenants.errors import NoSuchFile
from tenants.files import Files
from tenants.keys import TenantKeys

LIFE = timedelta(hours=24)
_PURPOSE = "import"


@dataclass(frozen=True, slots=True)
class Pending:
    """A file that waits to be imported, or was: ``created`` are the lines that became people."""

    owner: str
    until: datetime
    filename: str
    content: bytes = field(repr=False)
    created: tuple[int, ...] = ()
    is_over: bool = False

    @property
    def mark(self) -> str:
        """What tells this file from the one that was uploaded before or after it."""
        return hashlib.sha256(self.owner.encode() + self.until.isoformat().encode() + self.content).hexdigest()[:32]


class Shelf:
    """Where one tenant's pending files lie."""

    def __init__(self, files: Files, keys: TenantKeys) -> None:
        self._files = files
        self._keys = keys

    def put(self, owner: str, filename: str, content: bytes) -> Pending:
        """Keep a new file in the place of an administrator's older one."""
        pending = Pending(owner, utc_now() + LIFE, filename, content)
        self.remove(owner)
        self._files.keep(self._name(owner), _pack(pending))
        return pending

    def find(self, owner: str) -> Pending | None:
        """Return an administrator's file that may still be used, if any."""
        try:
            pending = _unpack(owner, self._files.read(self._name(owner)))
        except (NoSuchFile, ValueError, KeyError, TypeError):
            return None
        return pending if pending.until > utc_now() else None

    def advance(self, pending: Pending, created: Iterable[int], *, is_over: bool) -> Pending:
        """Note which lines have become people since."""
        advanced = replace(pending, created=(*pending.created, *created), is_over=is_over)
        name = self._name(pending.owner)
        sealed = self._keys.seal("file", _pack(advanced), context=name.encode())
        # Removed meanwhile, by the same administrator: it is not to come back.
        with suppress(NoSuchFile):
            self._files.put_back(name, sealed)
        return advanced

    def remove(self, owner: str) -> None:
        """Forget an administrator's file."""
        self._files.remove(self._name(owner))

    def sweep(self, people: Iterable[str]) -> None:
        """Remove what anybody has left behind for longer than it may be used."""
        there = set(self._files.names())
        for owner in people:
            if self._name(owner) in there and self.find(owner) is None:
                self.remove(owner)

    def _name(self, owner: str) -> str:
        return self._keys.mac(_PURPOSE, owner.encode()).hex()[:32]


def _pack(pending: Pending) -> bytes:
    head = {
        "owner": pending.owner,
        "until": pending.until.isoformat(),
        "filename": pending.filename,
        "created": pending.created,
        "is_over": pending.is_over,
    }
    return json.dumps(head).encode() + b"\n" + pending.content


def _unpack(owner: str, packed: bytes) -> Pending:
    head, _newline, content = packed.partition(b"\n")
    said = json.loads(head)
    if said["owner"] != owner:
        raise ValueError("It is somebody else's.")
    until = datetime.fromisoformat(said["until"])
    return Pending(owner, until, said["filename"], content, tuple(said["created"]), said["is_over"])
