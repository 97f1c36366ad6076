"""The registry's tables."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
)

from tenants.journal_tables import journal_tables
from tenants.sealed_columns import Sealed
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
    # From then on nothing that this version sealed opens again; it stays for what it signed.
    Column("retired_at", DateTime),
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

# PostgreSQL servers that hold tenant databases. Where and how much, never with which credential: the operator's is in
# a file of the operator's own, each tenant's is sealed with that tenant's key.
server_table = Table(
    "server",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("address", Text, nullable=False),
    Column("pooled", Boolean, nullable=False),
    Column("connections", Integer, nullable=False),
    Column("added_at", DateTime, nullable=False),
    # What the cluster itself calls itself, by whatever name or address it is reached; empty when it does not tell.
    Column("identity", String(32), nullable=False, server_default=""),
)

database_login_table = Table(
    "database_login",
    metadata,
    Column("tenant_uuid", Uuid, primary_key=True),
    Column("server", String(32), primary_key=True),
    Column("password", LargeBinary, nullable=False, info=Sealed("database-login", context="server").info),
)

# What one command does to many tenants, a row a tenant: a killed run goes on where it was, nothing is done twice.
fleet_run_table = Table(
    "fleet_run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("verb", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("plan", Text, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("started_by", String(64), nullable=False),
    Column("ended_at", DateTime),
)

fleet_step_table = Table(
    "fleet_step",
    metadata,
    Column("run_id", Integer, ForeignKey("fleet_run.id"), primary_key=True),
    Column("tenant_uuid", Uuid, primary_key=True),
    Column("wave", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("from_version", Integer),
    Column("to_version", Integer),
    Column("attempts", Integer, nullable=False),
    Column("ms", Integer),
    Column("error", Text, nullable=False),
)

backup_table = Table(
    "backup",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_uuid", Uuid, nullable=False, index=True),
    Column("file", Text, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("made_at", DateTime, nullable=False),
    Column("verified_at", DateTime),
    Column("fault", Text, nullable=False),
    # Made by a restore, of what it replaced: nobody means it by "the newest".
    Column("safety", Boolean, nullable=False, server_default=false()),
)

# A move, clone, purge or restore that was begun and has not ended: at most one a tenant, and how far it came.
unfinished_table = Table(
    "unfinished",
    metadata,
    Column("tenant_uuid", Uuid, primary_key=True),
    Column("verb", String(16), nullable=False),
    Column("step", String(32), nullable=False),
    Column("details", Text, nullable=False),
    Column("begun_at", DateTime, nullable=False),
)

# What is left of a purged tenant, so that its slug is not given away while anything out there still knows it.
tombstone_table = Table(
    "tombstone",
    metadata,
    Column("tenant_uuid", Uuid, primary_key=True),
    # Each that it ever had.
    Column("slug", String(32), primary_key=True, index=True),
    Column("purged_at", DateTime, nullable=False),
)

# Tenants whose outbox may hold mail to be sent; ``number`` rises with each note (see tenants/outboxes.py).
outbox_table = Table(
    "outbox",
    metadata,
    Column("tenant_uuid", Uuid, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("noted_at", DateTime, nullable=False),
    Column("look_at", DateTime, nullable=False, index=True),
)

# The operator's own people, by name: who may ask a tenant for support access, and what they signed and learnt.
staff_table = Table(
    "staff",
    metadata,
    Column("name", String(24), primary_key=True),
    Column("full_name", String(100), nullable=False),
    Column("email", String(254), nullable=False),
    Column("added_at", DateTime, nullable=False),
    Column("committed_on", Date),
    # Which text they signed, and where it is filed.
    Column("commitment", String(200), nullable=False),
    Column("trained_on", Date),
    Column("left_at", DateTime),
)
