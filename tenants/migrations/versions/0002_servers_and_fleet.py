"""PostgreSQL servers, and what operators began and must be able to go on with: fleet runs, moves, backups, purges."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "server",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("pooled", sa.Boolean, nullable=False),
        sa.Column("connections", sa.Integer, nullable=False),
        sa.Column("added_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "database_login",
        sa.Column("tenant_uuid", sa.Uuid, primary_key=True),
        sa.Column("server", sa.String(32), primary_key=True),
        sa.Column("password", sa.LargeBinary, nullable=False),
    )
    op.add_column("wrapped_key", sa.Column("retired_at", sa.DateTime))
    op.create_table(
        "fleet_run",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("started_by", sa.String(64), nullable=False),
        sa.Column("ended_at", sa.DateTime),
    )
    op.create_table(
        "fleet_step",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("fleet_run.id"), primary_key=True),
        sa.Column("tenant_uuid", sa.Uuid, primary_key=True),
        sa.Column("wave", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("from_version", sa.Integer),
        sa.Column("to_version", sa.Integer),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("ms", sa.Integer),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_table(
        "backup",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("tenant_uuid", sa.Uuid, nullable=False, index=True),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("made_at", sa.DateTime, nullable=False),
        sa.Column("verified_at", sa.DateTime),
        sa.Column("fault", sa.Text, nullable=False),
    )
    op.create_table(
        "unfinished",
        sa.Column("tenant_uuid", sa.Uuid, primary_key=True),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("begun_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "tombstone",
        sa.Column("tenant_uuid", sa.Uuid, primary_key=True),
        sa.Column("slug", sa.String(32), primary_key=True, index=True),
        sa.Column("purged_at", sa.DateTime, nullable=False),
    )
