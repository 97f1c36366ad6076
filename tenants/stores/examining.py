"""What a PostgreSQL server looks like to its operator: settings, rights, rules, and what of tenants' is on it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tenants.postgresql import first_line
from tenants.stores.administration import Administration, closing_statements, free_connections, open_to_public
from tenants.stores.roles import TENANTS

_OURS = re.compile(r"(?:t_[0-9a-f]{32}(?:_own|_next|_old)?|scratch_[0-9a-f]{32}|tpl_[0-9a-f]{16}(?:_part)?)", re.ASCII)
_ROLE = re.compile(r"t_[0-9a-f]{32}(?:_own)?", re.ASCII)
_TERSE = "terse"
_TALKATIVE = (
    "SELECT rolname FROM pg_roles WHERE rolname ~ '^t_[0-9a-f]{32}$' AND rolcanlogin"
    " AND NOT coalesce(rolconfig, '{}') @> '{log_error_verbosity=terse}'"
)
_KNOCK_SECONDS = 5
_EVERYWHERE = {None, "all", "0.0.0.0", "::"}  # noqa: S104 - netmasks, nothing listens there


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What was found. ``identity`` is what the cluster calls itself.

    ``open_databases`` are ours and the server's own that every role may connect to, each with what closes it.
    ``talkative_logins`` is of how many tenants the errors stand in the server's log with the rows they are about.
    """

    version: str
    free_connections: int
    password_encryption: str
    encrypted: bool
    databases: frozenset[str]
    roles: frozenset[str]
    open_databases: dict[str, str]
    talkative_logins: int
    identity: str


def look_at(administration: Administration) -> ServerFacts:
    """Ask a server about itself; raise ServerUnusable."""
    with administration.server() as admin:
        databases = _column(admin, "SELECT datname FROM pg_database")
        roles = _column(admin, "SELECT rolname FROM pg_roles")
        return ServerFacts(
            version=_setting(admin, "server_version").partition(" ")[0],
            free_connections=free_connections(admin),
            password_encryption=_setting(admin, "password_encryption"),
            encrypted=bool(admin.pgconn.ssl_in_use) or is_local(admin.info.host, admin.info.hostaddr),
            databases=frozenset(name for name in databases if _OURS.fullmatch(name)),
            roles=frozenset(name for name in roles if _ROLE.fullmatch(name)),
            open_databases={
                name: closing_statements(admin, name).as_string(admin)
                for name in open_to_public(admin)
                if _OURS.fullmatch(name) or name in {"postgres", "template1"}
            },
            talkative_logins=0 if _setting(admin, "log_error_verbosity") == _TERSE else len(_column(admin, _TALKATIVE)),
            identity=identity_of(admin),
        )


def identity_of(admin: psycopg.Connection[Any]) -> str:
    """Return what a cluster calls itself, by whatever name and address it is reached; nothing when it does not tell."""
    try:
        row = admin.execute("SELECT system_identifier::text FROM pg_control_system()").fetchone()
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction):
        return ""
    return str(row[0]) if row else ""


def is_local(host: str, address: str) -> bool:
    """Tell whether a connection never leaves this machine."""
    if host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address(address or host).is_loopback
    except ValueError:
        return host == "localhost"


def hole_in_rules(administration: Administration) -> str | None:
    """Return which line of pg_hba.conf lets tenants' logins into other databases than their own; "" for none.

    None when the credential may not read the rules.
    """
    with administration.server() as admin:
        kind = "local" if admin.info.host.startswith("/") else "host"
        try:
            rows = admin.execute(
                "SELECT line_number, type, database, user_name, coalesce(netmask, address), auth_method, error"
                " FROM pg_hba_file_rules ORDER BY line_number"
            ).fetchall()
        except psycopg.errors.InsufficientPrivilege:
            return None
    return first_hole([Rule(*row) for row in rows if row[1] is None or row[1].startswith(kind)])


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of pg_hba.conf. ``network`` is its netmask, or ``all``."""

    line: int
    kind: str | None
    databases: list[str] | None
    users: list[str] | None
    network: str | None
    method: str | None
    fault: str | None


def first_hole(rules: Sequence[Rule]) -> str:
    """Return the first line that lets a tenant's login into another database than its own."""
    for rule in rules:
        if rule.fault is not None:
            # A file with one such line is not read at all: what the server goes by is an older one.
            return f"line {rule.line} of pg_hba.conf cannot be read: {rule.fault}"
    for rule in rules:
        if not _concerns_tenants(rule.users or []) or not (others := _others(rule.databases or [])):
            continue
        if rule.method != "reject":
            return f"line {rule.line} of pg_hba.conf lets tenants' logins knock at {', '.join(others)}"
        if rule.kind in {"host", "local"} and "all" in others and rule.network in _EVERYWHERE:
            return ""
    # What no line speaks of is refused.
    return ""


def knock(administration: Administration, login: str, password: str, databases: Iterable[str]) -> dict[str, str]:
    """Try a tenant's login at databases, past any pooler; return what each of them said, nothing where it came in."""
    return {name: _knock(administration.url, login, password, name) for name in databases}


def _knock(url: str, login: str, password: str, database: str) -> str:
    own: dict[str, Any] = {"user": login, "password": password, "dbname": database, "connect_timeout": _KNOCK_SECONDS}
    kept = {key: value for key, value in conninfo_to_dict(url).items() if key not in {"passfile", "options", *own}}
    try:
        psycopg.connect(make_conninfo("", **kept, **own)).close()
    except psycopg.Error as error:
        return first_line(error)
    return ""


def _concerns_tenants(users: list[str]) -> bool:
    return any(user in {"all", f"+{TENANTS}"} or user.startswith("t_") for user in users)


def _others(databases: list[str]) -> list[str]:
    return [name for name in databases if name not in {"sameuser", "samerole", "samegroup", "replication"}]


def _setting(admin: psycopg.Connection[Any], name: str) -> str:
    row = admin.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(row[0]) if row else ""


def _column(admin: psycopg.Connection[Any], query: str) -> list[str]:
    return [name for (name,) in admin.execute(query.encode()).fetchall()]
