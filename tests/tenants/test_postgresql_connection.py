from __future__ import annotations

import psycopg
import pytest
from psycopg.errors import InvalidTextRepresentation

from tenants import postgresql
from tenants.postgresql_connection import connect, hung_up
from tests.services.postgresql import Cluster


def test_a_connection_whose_server_process_is_gone_has_hung_up(cluster: Cluster) -> None:
    connection = connect(cluster.url())
    assert not hung_up(connection)
    cluster.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
    assert hung_up(connection)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    assert hung_up(connection)
    connection.close()


def test_what_was_only_read_ends_without_forgetting_what_was_prepared(cluster: Cluster) -> None:
    with connect(cluster.url()) as connection:
        connection.read_only = True
        for _ in range(8):
            connection.execute("SELECT count(*) FROM pg_database WHERE datname = %s", ("postgres",))
            connection.rollback()
        prepared = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
        connection.rollback()
        assert prepared == (1,)
        connection.read_only = False
        connection.execute("CREATE TEMP TABLE undone (x int)")
        connection.rollback()
        assert connection.execute("SELECT to_regclass('undone')").fetchone() == (None,)


def test_an_error_outside_any_statement_quotes_no_value_either() -> None:
    error = InvalidTextRepresentation('invalid input syntax: "a secret"')
    postgresql._hide_values(error, None)
    assert "secret" not in str(error)
