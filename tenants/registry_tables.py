"""The registry's tables."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    Uuid,
)

from tenants.journal_tables import journal_tables
from tenants.throttle import make_throttle_table

metadata = MetaData()

tenant_table = Table(
    "tenant",
    metadata,
    Column("uuid", Uuid, primary_key=True),
    Column("slug", String(32), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("state", String(16), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("key_version", Integer, nullable=False),
    Column("server", String(32), nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("changed_at", DateTime, nullable=False),
)

host_table = Table(
    "host",
    metadata,
    Column("name", String(253), primary_key=True),
    Column("tenant_uuid", Uuid, ForeignKey("tenant.uuid"), nullable=False),
    Column("added_at", DateTime, nullable=False),
)

# A slug somebody once had keeps redirecting to its owner and is never given to another: cookies, passkeys and
# bookmarks outlive a rename.
former_slug_table = Table(
    "former_slug",
    metadata,
    Column("slug", String(32), primary_key=True),
    Column("tenant_uuid", Uuid, ForeignKey("tenant.uuid"), nullable=False),
    Column("left_at", DateTime, nullable=False),
)

# No foreign key: the platform's own key lives here too, and destroying a tenant's key must never wait for the rest.
wrapped_key_table = Table(
    "wrapped_key",
    metadata,
    Column("tenant_uuid", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("master_id", String(8), nullable=False),
    Column("wrapped", LargeBinary(40), nullable=False),
    Column("created_at", DateTime, nullable=False),
    UniqueConstraint("tenant_uuid", "version", name="uq_wrapped_key_tenant_version"),
)

generation_table = Table(
    "generation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)

# Attempts by client address, over all tenants; what concerns one account is counted in its tenant's database.
throttle_table = make_throttle_table(metadata)

operator_event_table, operator_event_head_table = journal_tables(metadata, "operator_event", {"personal": True})
