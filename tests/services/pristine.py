"""Databases as they were at one moment, put back under their own names before each test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from tests.services.postgresql import Cluster

PREFIX = "pristine_"

_RIGHTS = """
    SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type
    FROM pg_database, aclexplode(datacl) WHERE datname = %s
"""
_REST = "SELECT datdba::regrole::text, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"


class Pristine:
    """Keeps databases under other names, where nobody can connect to them, and makes new ones from them.

    Roles and everything else that the whole cluster shares stay as tests leave them.
    """

    def __init__(self, cluster: Cluster, names: Iterable[str]) -> None:
        self._cluster = cluster
        with self._connect() as connection:
            # Files are copied in half the time that their pages take through the log, which nobody will replay.
            self._how = sql.SQL(" STRATEGY file_copy" if connection.info.server_version >= 150000 else "")
        self._restore = {name: self._keep(name) for name in names}

    def restore(self) -> None:
        """Make all databases anew, whoever is connected to them."""
        with self._connect() as connection:
            for statements in self._restore.values():
                for statement in statements:
                    connection.execute(statement)

    def _keep(self, name: str) -> list[sql.Composed]:
        kept, own = sql.Identifier(f"{PREFIX}{name}"), sql.Identifier(name)
        with self._connect() as connection:
            ((owner, comment),) = connection.execute(_REST, [name]).fetchall()
            rights = connection.execute(_RIGHTS, [name]).fetchall()
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(own))
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(own, kept))
        given = [sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(own)]
        for grantee, right in rights:
            given.append(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(right), own, sql.SQL(grantee)))
        given.append(sql.SQL("COMMENT ON DATABASE {} IS {}").format(own, sql.Literal(comment)))
        return [
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(own),
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}{}").format(own, sql.SQL(owner), kept, self._how),
            sql.SQL("; ").join(given),
        ]

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._cluster._own_address(dbname="postgres"), autocommit=True)
