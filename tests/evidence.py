"""What is looked at to tell whether a byte of one tenant reached another: answers, databases, folders, journals."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select
from werkzeug.datastructures import Headers
from werkzeug.test import TestResponse

from extranet.models.security_event import security_event_table
from extranet.security_log.operations import read_all
from tenants.journal import Entry
from tenants.tenant import EMBEDDED
from tests.browser import USER_AGENT
from tests.platform import Platform

_TOKEN_VALUE = re.compile(r'(name="csrf_token" value=")[^"]+')
_COOKIE_VALUE = re.compile(r"(Set-Cookie: [^=\s]+=)[^;\s]+")
_SEES_EACH_TIME_ANEW = frozenset({"X-Request-Id", "Set-Cookie", "Date"})

Face = tuple[int, list[tuple[str, str]], str]
"""An answer without what is random in it: status, headers, body."""


def ask(
    platform: Platform, slug: str, path: str = "/", *, method: str = "GET", cookie: str = "", **options: Any
) -> TestResponse:
    """Send a request exactly as told: the Cookie header is raw, nothing is kept, nothing is followed."""
    origin = platform.settings.origin(platform.settings.host_of(slug))
    environ: dict[str, Any] = {"REMOTE_ADDR": "192.0.2.10", "REMOTE_PORT": "40000"}
    if cookie:
        # Past werkzeug's own checks: nginx and gunicorn let more through than they do.
        environ["HTTP_COOKIE"] = cookie
    environ |= options.pop("environ_overrides", {})
    headers = Headers(options.pop("headers", None))
    # A session that goes on in what calls itself another browser is an event.
    headers.setdefault("User-Agent", USER_AGENT)
    client = platform.app.test_client(use_cookies=False)
    return client.open(path, method=method, base_url=origin, environ_overrides=environ, headers=headers, **options)


def post_form(
    platform: Platform, slug: str, path: str, data: Mapping[str, Any], *, cookie: str, **options: Any
) -> TestResponse:
    """Post a form as a page of this very origin would."""
    origin = platform.settings.origin(platform.settings.host_of(slug))
    headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
    return ask(platform, slug, path, method="POST", cookie=cookie, data=dict(data), headers=headers, **options)


def face(response: TestResponse) -> Face:
    """Return what a visitor can learn from an answer, so that two can be compared."""
    headers = sorted((name, value) for name, value in response.headers if name not in _SEES_EACH_TIME_ANEW)
    # Two masked tokens never look alike; that one is there at all is part of the face.
    return response.status_code, headers, _TOKEN_VALUE.sub(r"\1", response.text)


def said(response: TestResponse) -> bytes:
    """Return all that an answer says, in lower case, without the values in which any four letters turn up by chance."""
    headers = _COOKIE_VALUE.sub(r"\1", str(response.headers)).encode()
    body = re.sub(_TOKEN_VALUE.pattern.encode(), rb"\1", response.data)
    return (headers + body).lower()


def sees_every_change(platform: Platform) -> None:
    """Let the application look at the registry before each request, not twice a second."""
    ticks = itertools.count()
    platform.tenancy.generation._clock = lambda: float(next(ticks))
    platform.tenancy.generation.forget()


def dump(platform: Platform, slug: str) -> list[str]:
    """Return every row of a tenant's database, and whatever else tells one database from another."""
    if platform.tenant(slug).server != EMBEDDED:
        return [
            f'INSERT INTO "{table}" VALUES{row}'
            for table, rows in rows_on_server(platform, slug).items()
            for row in rows
        ]
    path = platform.tenancy.databases.path_of(platform.tenant(slug))
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return list(connection.iterdump())


def rows_on_server(platform: Platform, slug: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of a tenant's database on a server, by table and in some order that is always the same."""
    with platform.db(slug, writing=False) as db:
        connection = db.connection()
        asked = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        tables = connection.exec_driver_sql(asked).scalars().all()
        return {
            table: [tuple(row) for row in connection.exec_driver_sql(f'SELECT * FROM "{table}" t ORDER BY t::text')]
            for table in tables
        }


def bytes_of(platform: Platform, slug: str) -> bytes:
    """Return all that a tenant owns, its database and its files, as bytes in which a word can be looked for."""
    content = b"".join(path.read_bytes() for path in sorted(folder_of(platform, slug).rglob("*")) if path.is_file())
    if platform.tenant(slug).server == EMBEDDED:
        return content
    values = (value for rows in rows_on_server(platform, slug).values() for row in rows for value in row)
    return content + b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def folder_of(platform: Platform, slug: str) -> Path:
    """Return where everything a tenant owns is."""
    return platform.settings.folder_of(platform.tenant(slug).uuid)


def stored_files(platform: Platform, slug: str) -> dict[str, bytes]:
    """Return the sealed files of a tenant, by name."""
    folder = folder_of(platform, slug) / "files"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.exists() else {}


def everything_of(platform: Platform, slug: str) -> tuple[list[str], dict[str, bytes]]:
    """Return all a tenant has: database and files."""
    return dump(platform, slug), stored_files(platform, slug)


@contextmanager
def untouched(platform: Platform, slug: str) -> Iterator[None]:
    """Insist that nothing of a tenant changes meanwhile: no row, no file, no event."""
    before = everything_of(platform, slug)
    yield
    assert everything_of(platform, slug) == before, f"{slug} was changed"


def events(platform: Platform, slug: str) -> list[Entry]:
    """Return a tenant's security log."""
    with platform.db(slug, writing=False) as db:
        return list(read_all(db))


class NewEvents:
    """Tells which events a tenant's log gained since the last time it was asked."""

    def __init__(self, platform: Platform, slug: str) -> None:
        self._platform = platform
        self._slug = slug
        self._seen = 0
        self.take()

    def take(self) -> list[str]:
        log = security_event_table.c
        fresh = select(log.sequence, log.event).where(log.sequence > self._seen).order_by(log.sequence)
        with self._platform.db(self._slug, writing=False) as db:
            rows = db.execute(fresh).all()
        self._seen = rows[-1].sequence if rows else self._seen
        return [row.event for row in rows]
