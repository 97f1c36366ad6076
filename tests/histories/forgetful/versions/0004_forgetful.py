"""A longer outcome in the log. On SQLite its triggers go with the old table; PostgreSQL wants them gone before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP TRIGGER security_event_no_update ON security_event")
    with op.batch_alter_table("security_event") as log:
        log.alter_column("outcome", type_=sa.String(32))
