"""Exact limits on attempts: each is reserved before it is made, in one atomic statement per bucket.

Checking first and counting afterwards let 49 guesses through a limit of 10 under 40 processes; reserving lets 10.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BindParameter, Column, Connection, Integer, LargeBinary, MetaData, Table, bindparam, text
from sqlalchemy.orm import Session

from tenants.marks import OF_ONE_TENANT

LONGEST_BLOCK_SECONDS = 24 * 3600
KEEP_SECONDS = 2 * 24 * 3600
"""How long a counter is kept after it ended: nothing in it matters any more when half of that is over."""

# The last attempt allowed begins the block: one period, and twice as long each further time, up to a day. Whoever
# stops one short of the limit is held to the same pace, and a day without attempts forgets how often it was.
_RESERVE = text("""
    INSERT INTO throttle (bucket, count, until, strikes) VALUES (:bucket, 1, :now + :period, 0)
    ON CONFLICT (bucket) DO UPDATE SET
        count = CASE WHEN throttle.until <= :now THEN 1 ELSE throttle.count + 1 END,
        strikes = CASE WHEN throttle.until <= :now - :longest THEN 0
            WHEN throttle.until > :now AND throttle.count + 1 = :limit THEN throttle.strikes + 1
            ELSE throttle.strikes END,
        until = CASE WHEN throttle.until <= :now THEN :now + :period
            WHEN throttle.count + 1 = :limit
                THEN :now + CASE WHEN throttle.strikes > 8 OR :period * (1 << throttle.strikes) > :longest
                    THEN CASE WHEN :period > :longest THEN :period ELSE :longest END
                    ELSE :period * (1 << throttle.strikes) END
            ELSE throttle.until END
    RETURNING count, until
""")
_BUCKETS: BindParameter[list[bytes]] = bindparam("buckets", expanding=True)
_REFUND = text("UPDATE throttle SET count = count - 1 WHERE bucket IN :buckets AND count > 0").bindparams(_BUCKETS)
_RESET = text("DELETE FROM throttle WHERE bucket IN :buckets").bindparams(_BUCKETS)
_SWEEP = text("DELETE FROM throttle WHERE until < :before")


def make_throttle_table(metadata: MetaData) -> Table:
    """Declare the table of counters. ``bucket`` is a MAC: no name or address is stored in it."""
    technical = {"personal": False}
    return Table(
        "throttle",
        metadata,
        Column("bucket", LargeBinary(32), primary_key=True, info=technical),
        Column("count", Integer, nullable=False, info=technical),
        Column("until", Integer, nullable=False, index=True, info=technical),
        Column("strikes", Integer, nullable=False, info=technical),
        info=OF_ONE_TENANT,
    )


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``attempts`` in ``seconds`` for one bucket."""

    bucket: bytes
    attempts: int
    seconds: int


def reserve(db: Session | Connection, limit: Limit, now: int) -> int:
    """Count one attempt against a limit before it is made.

    Returns 0 when it may be made, else the seconds until it may be tried again. The caller commits before it acts.
    """
    parameters = {
        "bucket": limit.bucket,
        "now": now,
        "period": limit.seconds,
        "limit": limit.attempts,
        "longest": LONGEST_BLOCK_SECONDS,
    }
    count, until = db.execute(_RESERVE, parameters).one()
    return max(1, until - now) if count > limit.attempts else 0


def refund(db: Session | Connection, *limits: Limit) -> None:
    """Give one reserved attempt in each bucket back: it was never made, or it succeeded."""
    db.execute(_REFUND, {"buckets": [limit.bucket for limit in limits]})


def reset(db: Session | Connection, *limits: Limit) -> None:
    """Forget buckets: their owner has proved who they are."""
    db.execute(_RESET, {"buckets": [limit.bucket for limit in limits]})


def sweep(db: Session | Connection, now: int) -> None:
    """Delete counters that ended more than two days ago."""
    db.execute(_SWEEP, {"before": now - KEEP_SECONDS})
