"""Longer names, and a longer outcome in the log. SQLite can only make such a table anew and copy its rows."""

import sqlalchemy as sa
from alembic import op

from tenants.migrating import make_append_only

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("user") as user:
        user.alter_column("first_name", type_=sa.String(200))
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("security_event") as log:
            log.alter_column("outcome", type_=sa.String(32))
        make_append_only("security_event")
