"""Databases as they were at one moment, put back under their own names before each test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from tests.services.postgresql import Cluster

PREFIX = "pristine_"
_ASIDE = f"{PREFIX}used_"

_RIGHTS = """
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type
    FROM pg_database, aclexplode(datacl) WHERE datname = %s
"""
_REST = "SELECT datdba::regrole::text, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"

# Everything about a database that is not in it.
_OUTSIDE = """
    SELECT d.oid, datdba, datacl::text, datconnlimit, datallowconn, shobj_description(d.oid, 'pg_database'),
        (SELECT array_agg(s::text ORDER BY s::text) FROM pg_db_role_setting s WHERE setdatabase = d.oid)
    FROM pg_database d WHERE datname = %s
"""
_TABLES = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relkind = 'r' AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    ORDER BY 1
"""
# What is not rows: whoever changes a table, a right or a rule leaves a row in one of these.
_CATALOGUES = (
    *("pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_default_acl", "pg_depend", "pg_description"),
    *("pg_event_trigger", "pg_extension", "pg_index", "pg_largeobject_metadata", "pg_namespace", "pg_policy"),
    *("pg_proc", "pg_rewrite", "pg_sequence", "pg_trigger", "pg_type"),
)

State = dict[str, tuple[int, int]]
"""Of each table the number of its rows and of the youngest transaction that wrote one: both stay, or it was changed."""


class Pristine:
    """Keeps databases under other names, where nobody can connect to them, and makes new ones from them.

    One in which nothing but rows was changed since is not made anew: its rows are put back, in a tenth of the time.
    Roles and everything else that the whole cluster shares stay as tests leave them.
    """

    def __init__(self, cluster: Cluster, names: Iterable[str]) -> None:
        self._cluster = cluster
        with self._connect() as connection:
            # Files are copied in half the time that their pages take through the log, which nobody will replay.
            self._how = sql.SQL(" STRATEGY file_copy" if connection.info.server_version >= 150000 else "")
        self._new = {name: self._keep(name) for name in names}
        self._made: dict[str, _Made] = {}

    def restore(self) -> None:
        """Put all databases back, whoever is connected to them."""
        connection = self._cluster.own()
        for name in self._new:
            if not self._is_put_back(connection, name):
                self._make(connection, name)

    def _is_put_back(self, connection: psycopg.Connection[Any], name: str) -> bool:
        """Take the database that was made before, if it is that still and its rows are all that was changed."""
        if name not in self._made:
            return False
        _hang_up(connection, name)
        if not _find(connection, name) and _find(connection, f"{_ASIDE}{name}"):
            _rename(connection, f"{_ASIDE}{name}", name)
        made = self._made[name]
        if connection.execute(_OUTSIDE, [name]).fetchall() != made.outside:
            return False
        with self._connect(name) as inside:
            return made.put_back(inside)

    def _make(self, connection: psycopg.Connection[Any], name: str) -> None:
        connection.execute(_drop(f"{_ASIDE}{name}"))
        for statement in self._new[name]:
            connection.execute(statement)
        outside = connection.execute(_OUTSIDE, [name]).fetchall()
        with self._connect(name) as inside:
            self._made[name] = _Made.of(inside, outside)

    def _keep(self, name: str) -> list[sql.Composed]:
        kept, own = sql.Identifier(f"{PREFIX}{name}"), sql.Identifier(name)
        with self._connect() as connection:
            ((owner, comment),) = connection.execute(_REST, [name]).fetchall()
            rights = connection.execute(_RIGHTS, [name]).fetchall()
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(own))
            _hang_up(connection, name)
            _rename(connection, name, f"{PREFIX}{name}")
        given = [sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(own)]
        for grantee, right in rights:
            given.append(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(right), own, sql.SQL(grantee)))
        given.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(own, sql.Literal(comment)))
        return [
            _drop(name),
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}{}").format(own, sql.SQL(owner), kept, self._how),
            sql.SQL("; ").join(given),
        ]

    def _connect(self, dbname: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self._cluster._own_address(dbname=dbname), autocommit=True)


@dataclass
class _Made:
    """A database as it was when it was made."""

    outside: list[tuple[Any, ...]]
    catalogues: State
    tables: State
    rows: dict[str, bytes]

    @classmethod
    def of(cls, inside: psycopg.Connection[Any], outside: list[tuple[Any, ...]]) -> _Made:
        names = [name for (name,) in inside.execute(_TABLES).fetchall()]
        return cls(
            outside,
            _state(inside, _CATALOGUES),
            _state(inside, names),
            {name: _rows(inside, name) for name in names},
        )

    def put_back(self, inside: psycopg.Connection[Any]) -> bool:
        """Put the rows back as they were; return False when more than that was changed."""
        # How far a sequence counted is in no row. No tenant has one yet.
        if self.catalogues["pg_sequence"] != (0, 0) or _state(inside, _CATALOGUES) != self.catalogues:
            return False
        now = _state(inside, self.tables)
        changed = [table for table in now if now[table] != self.tables[table]]
        if changed:
            with inside.transaction():
                # Neither what guards the rows nor what ties them to each other has a say in this.
                inside.execute("SET LOCAL session_replication_role = replica")
                for table in changed:
                    self._put_back(inside, table)
            self.tables |= _state(inside, changed)
        return True

    def _put_back(self, inside: psycopg.Connection[Any], table: str) -> None:
        inside.execute(_about("DELETE FROM {table}", table))
        with inside.cursor().copy(_about("COPY {table} FROM STDIN", table)) as copy:
            copy.write(self.rows[table])


def set_aside(connection: psycopg.Connection[Any], name: str) -> None:
    """Take a database away: for the test that puts it back, if there is one to put it back, and for good otherwise."""
    if not _find(connection, f"{PREFIX}{name}") or _find(connection, f"{_ASIDE}{name}"):
        connection.execute(_drop(name))
        return
    _hang_up(connection, name)
    _rename(connection, name, f"{_ASIDE}{name}")


def _find(connection: psycopg.Connection[Any], name: str) -> bool:
    return bool(connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall())


def _hang_up(connection: psycopg.Connection[Any], name: str) -> None:
    connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])


def _rename(connection: psycopg.Connection[Any], old: str, new: str) -> None:
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*(sql.Identifier(name) for name in (old, new))))


def _drop(name: str) -> sql.Composed:
    return sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))


def _state(inside: psycopg.Connection[Any], tables: Iterable[str]) -> State:
    asked = [
        _about("SELECT {name}, count(*), coalesce(max(xmin::text::bigint), 0) FROM {table}", table) for table in tables
    ]
    found = inside.execute(sql.SQL(" UNION ALL ").join(asked)).fetchall() if asked else []
    return {name: (count, youngest) for name, count, youngest in found}


def _rows(inside: psycopg.Connection[Any], table: str) -> bytes:
    with inside.cursor().copy(_about("COPY {table} TO STDOUT", table)) as copy:
        return b"".join(bytes(block) for block in copy)


def _about(statement: LiteralString, table: str) -> sql.Composed:
    # As the server spells it, with quotes where it needs any.
    return sql.SQL(statement).format(name=sql.Literal(table), table=sql.SQL(table))  # type: ignore[arg-type]
