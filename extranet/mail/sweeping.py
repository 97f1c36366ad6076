"""Once in an hour every tenant is looked at, a few at a time: for mail nobody spoke of, and once a day for old rows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

import structlog

from extranet.mail.leases import forget_old, has_old, next_look
from extranet.models.base import utc_now
from extranet.retention.rows import forget_rows, has_old_rows
from tenants.faults import fault_of
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant

_EVERY_SECONDS = 3600.0
# Rows that nobody needs are looked for in the first round, and then in one a day.
_FORGETTING_ROUNDS = 24
_AT_A_TIME = 20

logger = structlog.get_logger("extranet.mail")


class Sweep:
    """Where one worker is in its round. The first one begins with the worker: after a crash, nothing is known."""

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy
        self._begins_at = float("-inf")
        self._left: Iterator[Tenant] = iter(())
        self._rounds = 0

    def some(self) -> bool:
        """Look at a few tenants; tell whether there are more in this round.

        A note that was lost, with the last minutes of a registry that was put back for example, is found here.
        """
        if time.monotonic() >= self._begins_at:
            self._begins_at = time.monotonic() + _EVERY_SECONDS
            self._rounds += 1
            self._left = iter([tenant for tenant in self._tenancy.registry.all() if tenant.state is State.ACTIVE])
        some = list(islice(self._left, _AT_A_TIME))
        for tenant in some:
            self._look_at(tenant)
        return len(some) == _AT_A_TIME

    @property
    def _forgets(self) -> bool:
        return self._rounds % _FORGETTING_ROUNDS == 1

    def _look_at(self, tenant: Tenant) -> None:
        try:
            with self._tenancy.open_db(tenant) as db:
                has_mail, is_overdue = next_look(db) is not None, has_old(db, utc_now())
                may_forget = self._forgets and has_old_rows(db, utc_now())
            if has_mail:
                self._tenancy.outboxes.mention(tenant.uuid)
            if is_overdue:
                with self._tenancy.open_db(tenant, writing=True) as db:
                    forget_old(db, utc_now())
                    db.commit()
            while may_forget:
                # A transaction each: whoever is at work there waits for one of them at most.
                with self._tenancy.open_db(tenant, writing=True) as db:
                    may_forget = forget_rows(db, utc_now())
                    db.commit()
        except Exception as error:  # noqa: BLE001 - one tenant's trouble, whatever it is, must not hold up the others
            complain("sweep", tenant, error)
        finally:
            self._tenancy.databases.forget(tenant)


def complain(about: str, tenant: Tenant, error: Exception) -> None:
    """Write what may be told of an error to the operators' log: not its traceback, which may quote a mail."""
    logger.error(about, tenant=str(tenant.uuid), why=fault_of(error))
