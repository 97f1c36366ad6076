"""A throw-away PostgreSQL, which may crash, and a standby that takes over."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tenants.postgresql_connection import hung_up
from tests.services.programs import POSTGRES
from tests.services.service import Service

SUPERUSER = "postgres"
PROVISIONER = "provisioner"
STANDBY = "standby"

Mode = Literal["fast", "immediate"]
Query = str | sql.SQL | sql.Composed

# In memory nothing survives a power cut anyway. Everything else is as in production, commits above all.
_SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 200
fsync = off
full_page_writes = off
synchronous_commit = on
max_wal_size = 256MB
min_wal_size = 32MB
dynamic_shared_memory_type = mmap
log_line_prefix = '%m [%p] %q%u@%d '
"""
# The superuser comes in by the socket in the server's own folder, whatever rules a test writes for everybody else.
_OWN_HBA = ("local all postgres scram-sha-256", "local replication postgres scram-sha-256")
_HBA = ("local all all scram-sha-256", "host all all 127.0.0.1/32 scram-sha-256")

_STOPS: dict[Mode, signal.Signals] = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class Cluster(Service):
    """One PostgreSQL with its data. Every login needs its password, the superuser's too."""

    def __init__(self) -> None:
        super().__init__(user="postgres")
        self.data = self.folder / "data"
        self._passwords = {SUPERUSER: secrets.token_hex(16)}
        self._kept: psycopg.Connection[tuple[Any, ...]] | None = None

    def url(self, dbname: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """Return the address of a database over TCP. The password of a role made here need not be given."""
        known = self._passwords.get(user, "") if password is None else password
        return f"postgresql://{quote(user, '')}:{quote(known, '')}@{self.host}:{self.port}/{quote(dbname, '')}"

    def provisioner(self) -> str:
        """Return the URL of a role that may make databases and roles, and is no superuser."""
        if PROVISIONER not in self._passwords:
            password = secrets.token_hex(16)
            self.execute(f"CREATE ROLE {PROVISIONER} LOGIN CREATEDB CREATEROLE PASSWORD '{password}'")
            self.execute(f"GRANT CONNECT ON DATABASE postgres TO {PROVISIONER}")
            self._passwords[PROVISIONER] = password
        return self.url(user=PROVISIONER)

    def verifier(self, user: str) -> str:
        """Return what the server keeps of a role's password, with which a pooler can let it in."""
        ((kept,),) = self.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [user])
        return str(kept)

    def standby(self) -> Standby:
        """Return a standby, to be started by ``with``; commits then wait until it has them."""
        return Standby(self)

    def start(self) -> None:
        if not self.data.exists():
            self._make_data()
        super().start()

    def stop(self, mode: Mode = "fast") -> None:
        self._end(_STOPS[mode])

    def kill(self) -> None:
        """Crash: no process of the server has time for a last word."""
        self._let_go()
        # While their parent stands still, no child is born and no pid of theirs is given to anybody else.
        os.kill(self.pid, signal.SIGSTOP)
        self.until(lambda: not self._kill_children(), "A process of the server does not end.")
        segment = self._shared_memory()
        super().kill()
        # Without a server to take it up again, the kernel would keep this until the machine goes down.
        subprocess.run(["ipcrm", "--shmem-id", segment], check=False, capture_output=True)

    def execute(self, query: Query, values: Sequence[Any] = (), *, dbname: str = "postgres") -> list[tuple[Any, ...]]:
        """Do as the superuser, each statement committed; return the rows, if there are any."""
        if dbname == "postgres" and self._may_keep():
            return _rows(self.own().execute(query, values or None))
        with self._connect(dbname) as connection:
            return _rows(connection.execute(query, values or None))

    def own(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a superuser's connection that commits each statement. It is kept: a new one costs more than most asks.

        For the main thread of the process that made this, and nobody else: each could be made to wait.
        """
        assert self._may_keep()
        if self._kept is None or hung_up(self._kept):
            self._let_go()
            self._kept = self._connect("postgres")
            # What was prepared once would not do after a table has changed.
            self._kept.prepare_threshold = None
        return self._kept

    def write_hba(self, lines: Iterable[str] = _HBA) -> None:
        """Say who may connect, from the next connection on; without lines, everybody with a password again."""
        self._write_hba(lines)
        self.reload()

    def set(self, parameter: str, value: str | int | None) -> None:
        """Set a parameter for all connections, or with None back to what it was."""
        name = sql.Identifier(*parameter.split("."))
        if value is None:
            self.execute(sql.SQL("ALTER SYSTEM RESET {}").format(name))
        else:
            self.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(name, sql.Literal(value)))
        self.reload()

    def reload(self) -> None:
        """Have the files read anew; return when new connections see it."""
        before = self._last_read()
        os.kill(self.pid, signal.SIGHUP)
        self.until(lambda: self._last_read() != before, "The settings were not read.")

    def _last_read(self) -> list[tuple[Any, ...]]:
        # An old connection knows before the rules for new ones are read.
        with self._connect("postgres") as connection:
            return _rows(connection.execute("SELECT pg_conf_load_time()"))

    def _may_keep(self) -> bool:
        return os.getpid() == self._opened_by and threading.current_thread() is threading.main_thread()

    def _let_go(self) -> None:
        if self._kept is not None and self._may_keep():
            self._kept.close()
            self._kept = None

    def _end(self, how: signal.Signals) -> None:
        self._let_go()
        super()._end(how)

    def _make_data(self) -> None:
        password = self._write("password", self._passwords[SUPERUSER])
        self._run(
            [
                _program("initdb"),
                *("--pgdata", str(self.data), "--username", SUPERUSER, "--pwfile", str(password)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            ]
        )
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        self._write_hba(_HBA)

    def _write_hba(self, lines: Iterable[str]) -> None:
        (self.data / "pg_hba.conf").write_text("\n".join([*_OWN_HBA, *lines, ""]))

    def _command(self) -> list[str]:
        return [POSTGRES, "-D", str(self.data), "-p", str(self.port), "-k", str(self.folder)]

    def _answers(self) -> bool:
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self, dbname: str) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self._own_address(dbname=dbname), autocommit=True)

    def _own_address(self, **more: str) -> str:
        password = self._passwords[SUPERUSER]
        return make_conninfo(host=str(self.folder), port=self.port, user=SUPERUSER, password=password, **more)

    def _close(self) -> None:
        # Fast, unlike "fast", which saves first what is about to be thrown away.
        if self.is_running:
            self.stop("immediate")
        super()._close()

    def _kill_children(self) -> bool:
        """Return whether there still were any."""
        children = _children(self.pid)
        for child in children:
            os.kill(child, signal.SIGKILL)
        return bool(children)

    def _shared_memory(self) -> str:
        """Return the id of the segment that the server keeps others off its data with."""
        return (self.data / "postmaster.pid").read_text().splitlines()[6].split()[1]


class Standby(Cluster):
    """A copy that follows its primary, commit by commit, until it is promoted."""

    def __init__(self, primary: Cluster) -> None:
        super().__init__()
        self._primary = primary
        self._passwords = primary._passwords
        self._is_promoted = False

    def start(self) -> None:
        super().start()
        if self._primary.is_running and not self._is_promoted:
            self._primary.set("synchronous_standby_names", STANDBY)
            # Nobody waits before the checkpointer too has read the setting, and it does so before a checkpoint.
            self._primary.execute("CHECKPOINT")
            self.until(self._is_waited_for, "The primary does not wait for its standby.")

    def promote(self) -> None:
        """Take over; return when it can be written to."""
        self._is_promoted = True
        assert self.execute("SELECT pg_promote()") == [(True,)]

    def _close(self) -> None:
        super()._close()
        # A primary that lives on must not wait for ever for a standby that is gone.
        if self._primary.is_running:
            self._primary.set("synchronous_standby_names", None)
            self._primary.until(self._is_forgotten, "The slot of the standby is still in use.")

    def _make_data(self) -> None:
        source = self._primary._own_address(application_name=STANDBY)
        self._run(
            [
                _program("pg_basebackup"),
                *("--dbname", source, "--pgdata", str(self.data), "--checkpoint", "fast", "--no-sync"),
                *("--write-recovery-conf", "--create-slot", "--slot", STANDBY),
            ]
        )

    def _is_waited_for(self) -> bool:
        return ("sync",) in self._primary.execute("SELECT sync_state FROM pg_stat_replication")

    def _is_forgotten(self) -> bool:
        self._primary.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active")
        return self._primary.execute("SELECT FROM pg_replication_slots") == []


def _program(name: str) -> str:
    return str(Path(POSTGRES).with_name(name))


def _rows(cursor: psycopg.Cursor[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return cursor.fetchall() if cursor.description is not None else []


def _children(parent: int) -> list[int]:
    """Return those that live; a zombie waits for its parent alone."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        # Others come and go meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            # After the name, which may hold anything, come the state and the parent.
            state, its_parent = status.read_text().rpartition(")")[2].split()[:2]
            if int(its_parent) == parent and state != "Z":
                found.append(int(status.parent.name))
    return found
