"""The registry as it began."""

import sqlalchemy as sa
from alembic import op

from tenants.migrating import make_append_only

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "tenant",
        sa.Column("uuid", sa.Uuid, primary_key=True),
        sa.Column("slug", sa.String(32), nullable=False, unique=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("key_version", sa.Integer, nullable=False),
        sa.Column("server", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "host",
        sa.Column("name", sa.String(253), primary_key=True),
        sa.Column("tenant_uuid", sa.Uuid, sa.ForeignKey("tenant.uuid"), nullable=False),
        sa.Column("added_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "former_slug",
        sa.Column("slug", sa.String(32), primary_key=True),
        sa.Column("tenant_uuid", sa.Uuid, sa.ForeignKey("tenant.uuid"), nullable=False),
        sa.Column("left_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "wrapped_key",
        sa.Column("tenant_uuid", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("master_id", sa.String(8), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(40), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("tenant_uuid", "version", name="uq_wrapped_key_tenant_version"),
    )
    op.create_table(
        "generation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_table(
        "throttle",
        sa.Column("bucket", sa.LargeBinary(32), primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("until", sa.Integer, nullable=False, index=True),
        sa.Column("strikes", sa.Integer, nullable=False),
    )
    op.create_table(
        "operator_event",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(27), nullable=False, index=True),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False, index=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("private", sa.LargeBinary),
        sa.Column("mac", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "operator_event_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("mac", sa.LargeBinary(32), nullable=False),
    )
    make_append_only("operator_event")
