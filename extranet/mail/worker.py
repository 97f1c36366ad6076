"""Sending what lies in the outboxes. Any number of workers may run: they share the mails, and none is sent by two.

At least once: a mail is noted as sent right after the server has taken it. A worker that is killed in between leaves
a lease that runs out, and the mail is sent again under the same Message-ID.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage

import structlog
from sqlalchemy.exc import SQLAlchemyError

from extranet.mail.delivery import Delivery, Postponed, ServerDown
from extranet.mail.leases import Leased, give_up, lease, next_look, note_sent, postpone, release
from extranet.mail.messages import Undeliverable, compose
from extranet.mail.sweeping import Sweep, complain
from extranet.models.base import utc_now
from extranet.models.mail import MAIL_SEAL
from tenants import moments
from tenants.databases import TenantSession
from tenants.errors import BadSeal, NoSuchTenant, TenancyError
from tenants.faults import fault_of
from tenants.outboxes import Noted
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant

MOST_A_TURN = 10
"""After so many mails of one tenant it is the next one's turn."""

_TENANTS_A_TURN = 100
_LOOK_EVERY_SECONDS = 1.0
# Longer than the transaction that a note announces can take to be committed.
_GRACE = timedelta(minutes=1)
_NOT_SERVED_PAUSE = timedelta(minutes=5)
_TROUBLE_PAUSE = timedelta(minutes=1)
_LONGEST_REST_SECONDS = 60.0
# A tenant that is being moved, or whose server is being restarted, is there again after a few of these.
_NOTING_PAUSES = (0.1, 0.5, 2.0, 5.0)

logger = structlog.get_logger("extranet.mail")


class Worker:
    """One worker. ``run`` it in the main thread; ``stop`` and ``wake`` may be called from anywhere."""

    def __init__(self, tenancy: Tenancy, delivery: Delivery) -> None:
        self._tenancy = tenancy
        self._delivery = delivery
        self._stopping = threading.Event()
        self._awake = threading.Event()
        self._rest_seconds = 1.0
        self._rests_until = float("-inf")
        self._sweep = Sweep(tenancy)
        # Sent, and that could not be written down: what is sent twice shall at least not be sent knowingly.
        self._unnoted: set[str] = set()
        self.sent = 0

    def run(self, *, once: bool = False) -> None:
        """Send until told to stop; with ``once``, until nothing is due."""
        while not self._stopping.is_set():
            if self._turn():
                continue
            if once:
                return
            self._awake.wait(_LOOK_EVERY_SECONDS)
            self._awake.clear()

    def stop(self) -> None:
        """End after the mail at hand."""
        self._stopping.set()
        self._awake.set()

    def wake(self) -> None:
        """Look now: somebody has mail."""
        self._awake.set()

    def _turn(self) -> bool:
        """Give every tenant with mail its turn; tell whether there may be more to do at once."""
        try:
            swept = self._sweep.some()
            return self._visit_all() or swept
        except ServerDown as down:
            self._rest("mail server", str(down))
        except (TenancyError, SQLAlchemyError, OSError) as error:
            self._rest("registry", fault_of(error))
        return False

    def _rest(self, about: str, why: str) -> None:
        logger.error(about, why=why, seconds=self._rest_seconds)
        self._rests_until = time.monotonic() + self._rest_seconds
        self._rest_seconds = min(2 * self._rest_seconds, _LONGEST_REST_SECONDS)

    def _visit_all(self) -> bool:
        if time.monotonic() < self._rests_until:
            return False
        handled = 0
        for noted in self._tenancy.outboxes.due(_TENANTS_A_TURN):
            handled += self._visit(noted)
        return handled > 0

    def _visit(self, noted: Noted) -> int:
        tenant = self._served(noted)
        if tenant is None or self._stopping.is_set():
            return 0
        handled = 0
        try:
            while handled < MOST_A_TURN and not self._stopping.is_set() and self._send_next(noted):
                handled += 1
            with self._tenancy.open_db(tenant) as db:
                self._plan(noted, db)
        except ServerDown:
            raise
        except Exception as error:  # noqa: BLE001 - one tenant's trouble, whatever it is, must not hold up the others
            complain("outbox", tenant, error)
            self._tenancy.outboxes.look_again(noted, moments.now() + _TROUBLE_PAUSE)
        finally:
            # Many tenants, and of each server only a few connections that the web does not need.
            self._tenancy.databases.forget(tenant)
        return handled

    def _served(self, noted: Noted) -> Tenant | None:
        """Return the tenant if its mails are to be sent; one that is not served keeps them."""
        outboxes = self._tenancy.outboxes
        try:
            tenant = self._tenancy.registry.by_uuid(noted.tenant_uuid)
        except NoSuchTenant:
            outboxes.remove(noted)
            return None
        if tenant.state is State.ACTIVE:
            return tenant
        outboxes.look_again(noted, moments.now() + _NOT_SERVED_PAUSE)
        return None

    def _plan(self, noted: Noted, db: TenantSession) -> None:
        """Say when to look again. What is noted from now on has another number and is not touched by this.

        Never in the past: who still has mail stands behind those who wait.
        """
        again, now = next_look(db), moments.now()
        age = now - noted.noted_at
        if again is not None:
            self._tenancy.outboxes.look_again(noted, max(again.replace(tzinfo=None), now))
        elif age > _GRACE:
            self._tenancy.outboxes.remove(noted)
        else:
            # The transaction that was announced may not be committed yet: soon at first, then less often.
            self._tenancy.outboxes.look_again(noted, now + max(age / 2, timedelta(seconds=1)))

    def _send_next(self, noted: Noted) -> bool:
        """Send the tenant's next mail; tell whether there was one. Raises ServerDown."""
        # Anew for each: one that was suspended or moved a moment ago is found as it is now.
        tenant = self._served(noted)
        if tenant is None:
            return False
        with self._tenancy.open_db(tenant, writing=True) as db:
            mail = lease(db, utc_now())
            db.commit()
        if mail is None:
            return False
        outcome, settle = self._hand_over(tenant, mail)
        self._settle(tenant, settle)
        self._unnoted.discard(mail.id)
        logger.info("mail", id=mail.id, kind=mail.kind, tenant=str(tenant.uuid), outcome=outcome)
        return True

    def _hand_over(self, tenant: Tenant, mail: Leased) -> tuple[str, Callable[[TenantSession], object]]:
        """Send one mail; return what became of it, and how that is written down."""
        try:
            if mail.id not in self._unnoted:
                self._delivery.hand_over(self._message(tenant, mail), tenant.slug)
                self.sent += 1
        except ServerDown:
            self._settle(tenant, lambda db: release(db, mail))
            raise
        except Undeliverable as error:
            fault = error.fault
            return f"given up: {fault}", lambda db: give_up(db, mail, utc_now(), fault)
        except Postponed as error:
            fault = error.fault
            return f"postponed: {fault}", lambda db: postpone(db, mail, utc_now(), fault)
        self._unnoted.add(mail.id)
        self._rest_seconds = 1.0
        return "sent", lambda db: note_sent(db, mail.id, utc_now())

    def _message(self, tenant: Tenant, mail: Leased) -> EmailMessage:
        keys = self._tenancy.keys_of(tenant)
        try:
            opened = keys.open(MAIL_SEAL.purpose, mail.content, context=MAIL_SEAL.bound_to(mail.id))
            return compose(mail.id, mail.created_at, json.loads(opened), self._tenancy.settings.mail_from)
        except (BadSeal, ValueError, KeyError) as error:
            raise Postponed(f"cannot be opened: {type(error).__name__}") from error

    def _settle(self, tenant: Tenant, change: Callable[[TenantSession], object]) -> None:
        for pause in (*_NOTING_PAUSES, 0.0):
            try:
                found = self._tenancy.registry.by_uuid(tenant.uuid)
                with self._tenancy.open_db(found, writing=True) as db:
                    change(db)
                    db.commit()
            except (TenancyError, SQLAlchemyError, OSError):
                if not pause:
                    raise
                time.sleep(pause)
            else:
                return
