"""Taking back the factors that may be somebody else's: all that were made since a moment. Earlier ones stay."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from extranet.factors import recovery_codes, second_step
from extranet.models import Passkey, RecoveryCode, Totp


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """How many of each kind are gone."""

    totp: int
    passkeys: int
    recovery_codes: int

    def __bool__(self) -> bool:
        return self.totp + self.passkeys + self.recovery_codes > 0

    @property
    def counts(self) -> dict[str, int]:
        """What there was, by kind, for the logs."""
        return {kind: count for kind, count in asdict(self).items() if count}


def withdraw_factors(db: Session, user_id: str, since: datetime) -> Withdrawn:
    """Delete the authenticator app, the passkeys and the recovery codes that somebody got since a moment."""
    withdrawn = Withdrawn(*(_delete(db, table, user_id, since) for table in (Totp, Passkey, RecoveryCode)))
    if withdrawn and not second_step.is_needed(db, user_id):
        # Codes only stand in for a factor.
        recovery_codes.forget_codes(db, user_id)
    return withdrawn


def _delete(db: Session, table: Any, user_id: str, since: datetime) -> int:
    result: Any = db.execute(delete(table).where(table.user_id == user_id, table.created_at >= since))
    return int(result.rowcount)
