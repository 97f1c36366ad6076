"""The mails that wait in a tenant's outbox, as their readers will see them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from sqlalchemy import select

from extranet.mail.kinds import MailKind
from extranet.models import Mail
from extranet.models.mail import MAIL_SEAL
from tests.platform import Platform


@dataclass(frozen=True)
class Posted:
    """One mail."""

    kind: str
    user_id: str
    to: str
    subject: str
    text: str
    html: str

    def path(self, page: str) -> str:
        """Return the path of the link in it that leads to a page, for example ``/reset``."""
        found = re.search(rf"https?://\S+?({re.escape(page)}/[A-Za-z0-9_-]{{43}})", self.text)
        assert found, (page, self.text)
        return found[1]


def mails_of(platform: Platform, slug: str = "acme", kind: MailKind | None = None) -> list[Posted]:
    """Return what is in a tenant's outbox, oldest first."""
    with platform.db(slug, writing=False) as db:
        keys = db.info["keys"]
        rows = db.scalars(select(Mail).order_by(Mail.created_at)).all()
        return [
            Posted(row.kind, row.user_id, *(content[name] for name in ("to", "subject", "text", "html")))
            for row in rows
            if kind in {None, row.kind}
            for content in [json.loads(keys.open(MAIL_SEAL.purpose, row.content, context=MAIL_SEAL.bound_to(row.id)))]
        ]
