"""Which tenants have mail to be sent, so that the worker need not ask every one of them."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("tenant_uuid", sa.Uuid, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("noted_at", sa.DateTime, nullable=False),
        sa.Column("look_at", sa.DateTime, nullable=False, index=True),
    )
