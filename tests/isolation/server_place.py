"""The database of one tenant on its server, as its administrator can move and replace it."""

from __future__ import annotations

from psycopg import sql

from tenants.servers import database_name
from tests.platform import Platform
from tests.services.postgresql import Cluster


class DatabasePlace:
    """The database of one tenant on its server, as its administrator can change it."""

    def __init__(self, platform: Platform, cluster: Cluster, slug: str) -> None:
        self.cluster = cluster
        self.uuid = platform.tenant(slug).uuid
        self.name = database_name(self.uuid)

    def run(self, statement: str) -> None:
        self.cluster.execute(statement, dbname=self.name)

    def put_aside(self) -> None:
        self.cluster.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [self.name]
        )
        self.rename(self.name, "aside")

    def put_back(self) -> None:
        self.cluster.execute(statement("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
        self.rename("aside", self.name)

    def copy_from(self, name: str) -> None:
        """Put a copy of a database here, in which this tenant's login may do everything."""
        self.cluster.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
        self.cluster.execute(statement("CREATE DATABASE {} TEMPLATE {}", self.name, name))
        self.cluster.execute(
            statement(
                "GRANT ALL ON ALL TABLES IN SCHEMA public TO {}; GRANT ALL ON SCHEMA public TO {}", self.name, self.name
            ),
            dbname=self.name,
        )

    def rename(self, name: str, to: str) -> None:
        self.cluster.execute(statement("ALTER DATABASE {} RENAME TO {}", name, to))


def statement(text: str, *names: str) -> sql.Composed:
    return sql.SQL(text).format(*map(sql.Identifier, names))
