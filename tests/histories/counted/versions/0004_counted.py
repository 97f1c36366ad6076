"""A table that counts this revision's runs: those that were committed in it, all that were begun in a file outside."""

import os
import signal
import time
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    counts = op.create_table("counted", sa.Column("at", sa.Float, nullable=False))
    op.bulk_insert(counts, [{"at": time.time()}])
    tenant = str(op.get_bind().execute(sa.text("SELECT tenant_uuid FROM stamp")).scalar_one()).replace("-", "")
    with Path(os.environ["COUNTED_LOG"]).open("a") as log:
        log.write(f"{tenant} {os.getpid()}\n")
    if os.environ.get("COUNTED_KILLS") == tenant:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(float(os.environ.get("COUNTED_SECONDS", "0")))
