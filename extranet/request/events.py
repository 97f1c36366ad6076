"""Events that belong to the request itself: noted at once, in a transaction of their own, and bounded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from extranet.accounts.limits import network_of, reserve_all
from extranet.request.current import current
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import NOBODY
from tenants.throttle import Limit

# A flood from one address must not fill the log: after this many of one kind, the rest of the quarter is not written.
_MOST_PER_QUARTER = 20
# Nor a flood from as many addresses as somebody can hire.
_MOST_OF_A_KIND = 1_000
_QUARTER = 15 * 60


def note(event: Event, *, details: dict[str, Any], outcome: Outcome = Outcome.REFUSED) -> None:
    """Record what is no operation of anybody's, at most twenty of a kind per address and quarter of an hour."""
    actor = current.user.id if current.is_signed_in else NOBODY
    address, everywhere = f"note/{event}/{network_of(current.client.address)}", f"note/{event}"
    limits = [
        Limit(current.keys.mac("throttle", address.encode()), _MOST_PER_QUARTER, _QUARTER),
        Limit(current.keys.mac("throttle", everywhere.encode()), _MOST_OF_A_KIND, _QUARTER),
    ]
    with current.aside() as db:
        if reserve_all(db, limits, int(time.time())) == 0:
            record(db, event, current.origin, actor=actor, outcome=outcome, details=details)


def write_beside(change: Callable[[Session], object]) -> None:
    """Change something beside the view's own work, in a transaction that its failure does not undo."""
    if current.state.writes:
        change(current.db)
        current.db.commit()
        return
    with current.aside() as db:
        change(db)
