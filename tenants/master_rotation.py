"""The master key, replaced while everybody goes on working: another line in its file, then all keys wrapped under it.

A process that meets a key wrapped under a line it has not read reads the file again. What is left to do stands in the
registry: every key that is wrapped under another line than the last. So a rotation that was cut short goes on.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, func, select, tuple_, update

from tenants.durable import replace
from tenants.errors import IllegalTransition, KeyUnavailable
from tenants.keys import MasterKeys, new_key
from tenants.registry_tables import wrapped_key_table
from tenants.tenancy import Tenancy

_BATCH = 500
# No slug holds a dot.
_LOCK = "master.key"

_columns = wrapped_key_table.c
_KEY = (_columns.tenant_uuid, _columns.version)


@dataclass(slots=True)
class Rewrapped:
    """What came of it: the line that wraps now, how many keys it was given, and what is wrong with the others."""

    newest: str
    keys: int = 0
    faults: list[str] = field(default_factory=list)


def add_master_key(tenancy: Tenancy) -> bool:
    """Add a line to the master key file; tell whether there was need for one. Raises KeyUnavailable, Busy.

    There is none while keys are wrapped under an older line: the rotation that added the last one has not ended.
    """
    with tenancy.locks.hold(_LOCK):
        masters = tenancy.master_keys
        masters.read_again()
        with tenancy.registry.engine.connect() as connection:
            if _count_older(connection, masters):
                return False
        number = 1 + max(int(known.removeprefix("mk")) for known in masters.ids)
        line = f"mk{number}:{base64.b64encode(new_key()).decode()}"
        _write(tenancy, [*_lines(tenancy), line])
        return True


def rewrap_keys(tenancy: Tenancy) -> Rewrapped:
    """Wrap every key under the newest line, a bounded number in each transaction. Raises KeyUnavailable, Busy.

    A key that does not open is left and told of: it must not hold up the others.
    """
    with tenancy.locks.hold(_LOCK):
        masters = tenancy.master_keys
        masters.read_again()
        done = Rewrapped(masters.newest)
        last: Row[Any] | None = None
        while True:
            with tenancy.registry.writing() as connection:
                rows = _older(connection, masters, last)
                for row in rows:
                    _rewrap(connection, masters, row, done)
            if len(rows) < _BATCH:
                return done
            last = rows[-1]


def drop_old_master_keys(tenancy: Tenancy) -> list[str]:
    """Remove every line but the last from the master key file; return which. Raises IllegalTransition, Busy.

    Refused while any key is still wrapped under one of them.
    """
    with tenancy.locks.hold(_LOCK):
        masters = tenancy.master_keys
        masters.read_again()
        # Keys are made in transactions of this kind, with the file as it then is: none can be made with an older line
        # between the question and the answer.
        with tenancy.registry.changing() as connection:
            if count := _count_older(connection, masters):
                raise IllegalTransition(
                    f"{count} {'key is' if count == 1 else 'keys are'} not wrapped under {masters.newest} yet. "
                    "First run: extranet fleet rotate-keys --master"
                )
            dropped = masters.ids[:-1]
            if dropped:
                _write(tenancy, _lines(tenancy)[-1:])
        return dropped


def _rewrap(connection: Connection, masters: MasterKeys, row: Row[Any], done: Rewrapped) -> None:
    try:
        key = masters.unwrap(row.master_id, row.tenant_uuid, row.version, row.wrapped)
    except KeyUnavailable as error:
        done.faults.append(str(error))
        return
    wrapped = masters.wrap(row.tenant_uuid, row.version, key, done.newest)
    same = (_columns.tenant_uuid == row.tenant_uuid) & (_columns.version == row.version)
    connection.execute(update(wrapped_key_table).where(same).values(master_id=done.newest, wrapped=wrapped))
    done.keys += 1


def _older(connection: Connection, masters: MasterKeys, after: Row[Any] | None) -> Sequence[Row[Any]]:
    rows = select(wrapped_key_table).where(_columns.master_id != masters.newest).order_by(*_KEY).limit(_BATCH)
    if after is not None:
        place = tuple_(after.tenant_uuid, after.version, types=[column.type for column in _KEY])
        rows = rows.where(tuple_(*_KEY) > place)
    return connection.execute(rows).all()


def _count_older(connection: Connection, masters: MasterKeys) -> int:
    older = select(func.count()).select_from(wrapped_key_table).where(_columns.master_id != masters.newest)
    return connection.execute(older).scalar_one()


def _lines(tenancy: Tenancy) -> list[str]:
    return tenancy.settings.master_key_file.read_text(encoding="ascii").split()


def _write(tenancy: Tenancy, lines: list[str]) -> None:
    path = tenancy.settings.master_key_file
    try:
        replace(path, "".join(f"{line}\n" for line in lines).encode())
    except OSError as error:
        raise KeyUnavailable(f"The master key cannot be written to {path}: {error.strerror}.") from error
    tenancy.master_keys.read_again()
