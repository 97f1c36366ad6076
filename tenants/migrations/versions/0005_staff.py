"""Who of the operator's staff may be let into a tenant, and an operators' journal that may be cut short."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "staff",
        sa.Column("name", sa.String(24), primary_key=True),
        sa.Column("full_name", sa.String(100), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("added_at", sa.DateTime, nullable=False),
        sa.Column("committed_on", sa.Date),
        sa.Column("commitment", sa.String(200), nullable=False),
        sa.Column("trained_on", sa.Date),
        sa.Column("left_at", sa.DateTime),
    )
    op.create_table(
        "operator_event_base",
        sa.Column("sequence", sa.Integer, autoincrement=False, primary_key=True),
        sa.Column("mac", sa.LargeBinary(32), nullable=False),
        sa.Column("removed", sa.Integer, nullable=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("signature", sa.LargeBinary(32), nullable=False),
    )
