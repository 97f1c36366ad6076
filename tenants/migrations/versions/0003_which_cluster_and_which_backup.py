"""Which cluster a registered server is, whatever name leads to it; which backups a restore made of what it replaced."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("server", sa.Column("identity", sa.String(32), nullable=False, server_default=""))
    op.add_column("backup", sa.Column("safety", sa.Boolean, nullable=False, server_default=sa.false()))
