"""A throw-away PgBouncer before a cluster, giving out its connections by the transaction."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import psycopg
from psycopg.conninfo import make_conninfo

from tests.services.postgresql import Cluster
from tests.services.programs import PGBOUNCER
from tests.services.service import Service

_CONSOLE = "pgbouncer"


class PgBouncer(Service):
    """One pooler. ``users`` holds for each role its password, or its SCRAM verifier as the cluster has it.

    ``settings`` are lines of pgbouncer.ini beyond those here.
    """

    def __init__(
        self,
        cluster: Cluster,
        users: Mapping[str, str],
        *,
        max_client_conn: int = 100,
        default_pool_size: int = 20,
        settings: Mapping[str, str | int] | None = None,
    ) -> None:
        super().__init__(user="postgres")
        self._cluster = cluster
        self._admin = secrets.token_hex(16)
        self._settings = {
            "max_client_conn": max_client_conn,
            "default_pool_size": default_pool_size,
            **(settings or {}),
        }
        self._write_users(users)

    def write_users(self, users: Mapping[str, str]) -> None:
        """Let these in from now on, and nobody else."""
        self._write_users(users)
        if self.is_running:
            self.reload()

    def reload(self) -> None:
        """Have the files read anew."""
        self.console("RELOAD")

    def console(self, command: str) -> list[dict[str, object]]:
        """Run one command of PgBouncer's own, such as SHOW POOLS; return its rows."""
        address = make_conninfo(
            host=self.host, port=self.port, user=_CONSOLE, password=self._admin, dbname=_CONSOLE, connect_timeout=5
        )
        with psycopg.connect(address, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
            cursor = connection.execute(command)
            return cursor.fetchall() if cursor.description is not None else []

    def _write_users(self, users: Mapping[str, str]) -> None:
        lines = (f"{_quoted(name)} {_quoted(secret)}\n" for name, secret in {_CONSOLE: self._admin, **users}.items())
        self._write("users.txt", "".join(lines))

    def _command(self) -> list[str]:
        settings = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": self.folder / "users.txt",
            "admin_users": _CONSOLE,
            "pool_mode": "transaction",
            **self._settings,
        }
        lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
        target = f"* = host={self._cluster.host} port={self._cluster.port}"
        return [PGBOUNCER, str(self._write("pgbouncer.ini", f"[databases]\n{target}\n[pgbouncer]\n{lines}\n"))]

    def _answers(self) -> bool:
        try:
            self.console("SHOW VERSION")
        except psycopg.OperationalError:
            return False
        return True


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
