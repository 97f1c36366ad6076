"""What the tests of the core share: one model, one journal, a clock, and processes of their own."""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from tenants.databases import TenantSession
from tenants.journal import Journal
from tenants.journal_tables import journal_tables
from tenants.keys import TenantKeys

HISTORY = "extranet.migrations"

entries, head = journal_tables(MetaData(), "security_event", {"personal": True})
activity, activity_head = journal_tables(MetaData(), "activity", {"personal": True})


class Base(DeclarativeBase):
    pass


class Note(Base):
    """The simplest table of a tenant database, under a name that says what the tests do with it."""

    __tablename__ = "company_version"

    id: Mapped[str] = mapped_column(primary_key=True)
    changed_by: Mapped[str]
    at: Mapped[datetime]
    changes: Mapped[str]
    answers: Mapped[list[Note]] = relationship(
        primaryjoin="foreign(Note.changed_by) == remote(Note.id)",
        uselist=True,
        viewonly=False,
        cascade="save-update, merge",
    )


def note(text: str, key: str = "1") -> Note:
    return Note(id=key, changed_by="somebody", at=datetime(2026, 1, 1), changes=text)  # noqa: DTZ001


def prepare(db: TenantSession) -> str:
    db.add(note(f"hello {db.tenant.slug}"))
    for tables in ((entries, head), (activity, activity_head)):
        Journal(*tables, db.info["keys"]).start(db)
    return f"prepared {db.tenant.slug}"


def journal_of(keys: TenantKeys) -> Journal:
    return Journal(entries, head, keys)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def open_files_under(folder: Path) -> list[str]:
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return [link for link in links if link.startswith(str(folder))]


def in_children(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run every work at once, each in a process of its own, and return what they returned."""
    children = [_start(work) for work in works]
    return [_finish(*child) for child in children]


def killed_in_child(work: Callable[[], Any]) -> bool:
    """Run work in a process of its own; say whether SIGKILL ended it."""
    process = os.fork()
    if process == 0:
        _run_and_exit(work, os.open(os.devnull, os.O_WRONLY))
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def kill_this_process(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _start(work: Callable[[], Any]) -> tuple[int, int]:
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        _run_and_exit(work, writer)
    os.close(writer)
    return process, reader


def _run_and_exit(work: Callable[[], Any], writer: int) -> None:
    status = 1
    try:
        os.write(writer, pickle.dumps(work()))
        status = 0
    except BaseException:  # noqa: BLE001 - nothing may reach the test runner this process was forked from
        traceback.print_exc()
    finally:
        os._exit(status)


def _finish(process: int, reader: int) -> Any:
    with os.fdopen(reader, "rb") as pipe:
        sent = pipe.read()
    _, status = os.waitpid(process, 0)
    assert status == 0, "the child failed"
    return pickle.loads(sent)
