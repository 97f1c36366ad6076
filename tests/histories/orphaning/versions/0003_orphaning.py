"""People are gone, and what refers to them is not."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute('DELETE FROM "user"')
