"""Single sign-on, support access, and journals that may be cut short at their beginning."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.String(length=32)


def upgrade() -> None:
    _add_columns()
    _make_sign_on()
    _make_support()
    for journal in ("security_event", "activity"):
        _make_base(journal)


def _add_columns() -> None:
    op.add_column("company", sa.Column("log_days", sa.Integer(), nullable=False, server_default="365"))
    op.add_column("user", sa.Column("last_sign_in_at", sa.DateTime(), nullable=True))
    # More was allowed once.
    op.execute("UPDATE company SET idle_minutes = 60 WHERE idle_minutes > 60")
    latest = 'SELECT MAX(login.started_at) FROM login WHERE login.user_id = "user".id'
    op.execute(f'UPDATE "user" SET last_sign_in_at = ({latest})')  # noqa: S608 - nothing of anybody's in it


def _make_sign_on() -> None:
    op.create_table(
        "identity_provider",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("client_id", sa.String(length=200), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("creates_people", sa.Boolean(), nullable=False),
        sa.Column("email_domains", sa.String(length=500), nullable=False),
        sa.Column("proves_second_factor", sa.Boolean(), nullable=False),
        sa.Column("role_claim", sa.String(length=100), nullable=False),
        sa.Column("role_values", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identity_provider"),
    )
    op.create_table(
        "identity",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=254), nullable=False),
        sa.Column("linked_at", sa.DateTime(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_identity_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_identity"),
        sa.UniqueConstraint("issuer", "subject", name="uq_identity_issuer_subject"),
        sa.UniqueConstraint("user_id", "issuer", name="uq_identity_user_id_issuer"),
    )
    op.create_table(
        "consent",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("purpose", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("text_version", sa.String(length=16), nullable=False),
        sa.Column("given_at", sa.DateTime(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_consent_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_consent"),
    )
    op.create_index("ix_consent_user_id", "consent", ["user_id"])


def _make_support() -> None:
    op.create_table(
        "support_grant",
        sa.Column("id", _ID, nullable=False),
        sa.Column("staff", sa.String(length=24), nullable=False),
        sa.Column("staff_name", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("hours", sa.Integer(), nullable=False),
        sa.Column("writes", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("answered_by", _ID, nullable=True),
        sa.Column("answered_at", sa.DateTime(), nullable=True),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("end_reason", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["answered_by"], ["user.id"], name="fk_support_grant_answered_by"),
        sa.PrimaryKeyConstraint("id", name="pk_support_grant"),
    )
    op.create_index("ix_support_grant_expires_at", "support_grant", ["expires_at"])
    op.create_table(
        "support_visit",
        sa.Column("id", _ID, nullable=False),
        sa.Column("grant_id", _ID, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("made_at", sa.DateTime(), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("end_reason", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["grant_id"], ["support_grant.id"], name="fk_support_visit_grant_id"),
        sa.PrimaryKeyConstraint("id", name="pk_support_visit"),
        sa.UniqueConstraint("secret_hash", name="uq_support_visit_secret_hash"),
    )
    op.create_index("ix_support_visit_grant_id", "support_visit", ["grant_id"])


def _make_base(journal: str) -> None:
    op.create_table(
        f"{journal}_base",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("removed", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("signature", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=f"pk_{journal}_base"),
    )
