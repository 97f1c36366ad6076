"""People are gone, and what refers to them is not."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute('DELETE FROM "user"')
