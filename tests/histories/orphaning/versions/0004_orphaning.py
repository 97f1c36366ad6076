"""People are gone, and what refers to them is not."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute('DELETE FROM "user"')
