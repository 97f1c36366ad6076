"""What a backup says of itself: of whom and of which moment it is, and everything that must be found again in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Connection, MetaData, func, inspect, select, table

from tenants import schema
from tenants.backups.entries import Content
from tenants.errors import BadArchive
from tenants.journal import Journal
from tenants.journal_tables import journal_tables
from tenants.keys import TenantKeys
from tenants.stamp import stamp_table

Head = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Moment:
    """What one moment of a tenant database is known by."""

    stamps: list[str]
    schema_version: int
    rows: dict[str, int]
    journals: dict[str, Head]
    """Each journal's last sequence number and its MAC in hex."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The last entry of an archive. ``contents`` are all the others."""

    id: UUID
    tenant_uuid: UUID
    slug: str
    name: str
    server: str
    moment: Moment
    contents: dict[str, Content]

    def packed(self) -> bytes:
        """Return the manifest as JSON."""
        return json.dumps(asdict(self), default=str, sort_keys=True).encode()


def read_manifest(packed: bytes) -> Manifest:
    """Return what ``Manifest.packed`` wrote; raise BadArchive."""
    try:
        found = json.loads(packed)
        moment = found.pop("moment")
        journals = {name: (int(sequence), str(mac)) for name, (sequence, mac) in moment.pop("journals").items()}
        contents = {name: Content(**content) for name, content in found.pop("contents").items()}
        backup, tenant = UUID(found.pop("id")), UUID(found.pop("tenant_uuid"))
        return Manifest(backup, tenant, **found, moment=Moment(**moment, journals=journals), contents=contents)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadArchive("The manifest of this backup is not in the form of one.") from error


def read_moment(connection: Connection, keys: TenantKeys) -> Moment:
    """Look at a tenant database, in one transaction."""
    names = sorted(inspect(connection).get_table_names())
    return Moment(
        stamps=[str(uuid) for uuid in connection.execute(select(stamp_table.c.tenant_uuid)).scalars()],
        schema_version=schema.version_of(connection),
        rows={name: connection.execute(select(func.count()).select_from(table(name))).scalar_one() for name in names},
        journals={name: journal.head(connection) for name, journal in _journals(names, keys).items()},
    )


def verify_journals(connection: Connection, moment: Moment, keys: TenantKeys) -> None:
    """Check every entry of every journal of a tenant database; raise BadArchive."""
    for name, journal in _journals(list(moment.rows), keys).items():
        journal.verify(connection, anchor=moment.journals[name])


def _journals(names: list[str], keys: TenantKeys) -> dict[str, Journal]:
    # By its head a journal is known, whichever there are in the release that made this database.
    found = [name for name in names if f"{name}_head" in names]
    # A backup from before anything was ever removed from a journal has no table that says what.
    based = {name for name in found if f"{name}_base" in names}
    return {name: Journal(*journal_tables(MetaData(), name, {}), keys, has_bases=name in based) for name in found}
