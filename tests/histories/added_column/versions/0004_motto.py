"""Companies have a motto."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("company", sa.Column("motto", sa.String(200), nullable=False, server_default=""))
