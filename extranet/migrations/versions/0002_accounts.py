"""Second factors, one-time links, mail, the activity log, and the tenant's own security policy."""

import sqlalchemy as sa
from alembic import op

from tenants.migrating import make_append_only

revision = "0002"
down_revision = "0001"

_ID = sa.String(length=32)


def upgrade() -> None:
    _add_columns()
    _make_factors()
    _make_links_and_mail()
    _make_activity()


def _add_columns() -> None:
    for table, column in (
        ("company", sa.Column("second_factor", sa.String(length=16), nullable=False, server_default="optional")),
        ("company", sa.Column("second_factor_from", sa.DateTime(), nullable=True)),
        ("company", sa.Column("shortest_password", sa.Integer(), nullable=False, server_default="12")),
        ("company", sa.Column("idle_minutes", sa.Integer(), nullable=False, server_default="60")),
        ("company", sa.Column("forces_browser_mail", sa.Boolean(), nullable=False, server_default=sa.true())),
        ("company", sa.Column("logo", sa.String(length=32), nullable=False, server_default=sa.text("''"))),
        ("company", sa.Column("welcome", sa.String(length=500), nullable=False, server_default=sa.text("''"))),
        ("user", sa.Column("passkey_handle", sa.LargeBinary(length=32), nullable=True)),
        ("user", sa.Column("log_notice_at", sa.DateTime(), nullable=True)),
        ("user", sa.Column("wants_browser_mail", sa.Boolean(), nullable=False, server_default=sa.true())),
        ("login", sa.Column("factors", sa.String(length=64), nullable=False, server_default="password")),
        ("login", sa.Column("proved_at", sa.DateTime(), nullable=True)),
        ("known_browser", sa.Column("previous_hash", sa.LargeBinary(length=32), nullable=True)),
        ("known_browser", sa.Column("rotated_at", sa.DateTime(), nullable=True)),
    ):
        op.add_column(table, column)
    op.create_index("ix_known_browser_previous_hash", "known_browser", ["previous_hash"])


def _make_factors() -> None:
    op.create_table(
        "totp",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_totp_user_id"),
        sa.PrimaryKeyConstraint("user_id", name="pk_totp"),
    )
    op.create_table(
        "passkey",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("credential_id", sa.LargeBinary(length=1023), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("aaguid", sa.String(length=36), nullable=False),
        sa.Column("transports", sa.String(length=100), nullable=False),
        sa.Column("is_backed_up", sa.Boolean(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_passkey_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_passkey"),
        sa.UniqueConstraint("credential_id", name="uq_passkey_credential_id"),
    )
    op.create_index("ix_passkey_user_id", "passkey", ["user_id"])
    op.create_table(
        "recovery_code",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("code_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_recovery_code_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_recovery_code"),
        sa.UniqueConstraint("code_mac", name="uq_recovery_code_code_mac"),
    )
    op.create_index("ix_recovery_code_user_id", "recovery_code", ["user_id"])
    op.create_table(
        "pending_sign_in",
        sa.Column("id", _ID, nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("factors", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_pending_sign_in_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_pending_sign_in"),
        sa.UniqueConstraint("secret_hash", name="uq_pending_sign_in_secret_hash"),
    )
    op.create_index("ix_pending_sign_in_user_id", "pending_sign_in", ["user_id"])
    op.create_index("ix_pending_sign_in_expires_at", "pending_sign_in", ["expires_at"])
    op.create_table(
        "used_challenge",
        sa.Column("challenge_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("challenge_hash", name="pk_used_challenge"),
    )
    op.create_index("ix_used_challenge_at", "used_challenge", ["at"])
    op.create_table(
        "previous_password",
        sa.Column("id", _ID, nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("password", sa.LargeBinary(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_previous_password_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_previous_password"),
    )
    op.create_index("ix_previous_password_user_id", "previous_password", ["user_id"])


def _make_links_and_mail() -> None:
    op.create_table(
        "one_time_link",
        sa.Column("id", _ID, nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("token_mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("detail", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("end_reason", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_one_time_link_user_id"),
        sa.PrimaryKeyConstraint("id", name="pk_one_time_link"),
        sa.UniqueConstraint("token_mac", name="uq_one_time_link_token_mac"),
    )
    op.create_index("ix_one_time_link_user_id", "one_time_link", ["user_id"])
    op.create_table(
        "mail",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("leased_until", sa.DateTime(), nullable=True),
        sa.Column("sent_at", sa.DateTime(), nullable=True),
        sa.Column("given_up_at", sa.DateTime(), nullable=True),
        sa.Column("fault", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mail"),
    )
    op.create_index("ix_mail_user_id", "mail", ["user_id"])
    op.create_index("ix_mail_due_at", "mail", ["due_at"])


def _make_activity() -> None:
    op.create_table(
        "activity",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("private", sa.LargeBinary(), nullable=True),
        sa.Column("mac", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_activity"),
    )
    op.create_index("ix_activity_at", "activity", ["at"])
    op.create_index("ix_activity_subject", "activity", ["subject"])
    op.create_table(
        "activity_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_activity_head"),
    )
    make_append_only("activity")
    # A database that is lived in begins its new journal now; that of a tenant to come begins with the tenant.
    begin = sa.text("INSERT INTO activity_head (id, sequence, mac) SELECT 1, 0, :mac FROM security_event_head")
    op.get_bind().execute(begin, {"mac": bytes(32)})
