"""Putting a mail into the outbox, in the transaction of its cause: both happen, or neither."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy.orm import Session

from extranet.mail.kinds import MailKind
from extranet.mail.rendering import render
from extranet.models import Mail, User
from extranet.models.base import new_id, utc_now
from extranet.models.mail import MAIL_SEAL


def post(db: Session, kind: MailKind, user: User, *, address: str = "", **values: Any) -> None:
    """Write a mail to a person in their language; ``address`` when it is not to go to the one on their account.

    ``values`` are what the kind's words need (see MailKind). A link is a path; the tenant's own host is put before it,
    from the tenant's record and never from a request.
    """
    to = address or user.email
    if "@" not in to or not to.isprintable():
        raise ValueError("``address`` is whom a mail goes to; where a browser came from is the value ``seen_from``.")
    mail_id, now = new_id(), utc_now()
    content = json.dumps({"to": to, **render(db, kind, user, values)}).encode()
    sealed = db.info["keys"].seal(MAIL_SEAL.purpose, content, context=MAIL_SEAL.bound_to(mail_id))
    db.add(Mail(id=mail_id, kind=kind, user_id=user.id, content=sealed, created_at=now, due_at=now))
    # Before this transaction is committed the registry is told (tenants/outboxes.py).
    db.info["posted"] = True
