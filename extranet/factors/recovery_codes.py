"""Ten codes on paper for whoever has lost the rest. Only a MAC of each is kept; each works once."""

from __future__ import annotations

import base64
import re
import secrets
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from extranet.models import RecoveryCode
from extranet.models.base import utc_now
from tenants.keys import TenantKeys

COUNT = 10
FEW = 3
"""From so many left on, people are told to make new ones."""

_BYTES = 10
_GROUP = 4
_PURPOSE = "recovery-code"
_CODE = re.compile(r"[A-Z2-7]{16}", re.ASCII)
_BLANKS = re.compile(r"[\s-]+")
# Base32 has no such digits: who reads them off paper means the letter.
_LOOK_ALIKES = str.maketrans("018", "OIB")


def make_codes(db: Session, user_id: str) -> list[str]:
    """Make ten new codes and return them, to be shown once; all earlier ones stop working."""
    forget_codes(db, user_id)
    codes = [base64.b32encode(secrets.token_bytes(_BYTES)).decode() for _ in range(COUNT)]
    now = utc_now()
    db.add_all(
        RecoveryCode(user_id=user_id, code_mac=_mac(db.info["keys"], user_id, code), created_at=now) for code in codes
    )
    db.flush()
    return ["-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP)) for code in codes]


def use_code(db: Session, user_id: str, typed: str) -> bool:
    """Tell whether a code is one of a person's unused ones; if so it is used up, for exactly one caller."""
    code = _BLANKS.sub("", typed).upper().translate(_LOOK_ALIKES)
    if not _CODE.fullmatch(code):
        return False
    mine = (RecoveryCode.user_id == user_id) & (RecoveryCode.code_mac == _mac(db.info["keys"], user_id, code))
    used = update(RecoveryCode).where(mine, RecoveryCode.used_at.is_(None)).values(used_at=utc_now())
    return bool(db.execute(used.execution_options(synchronize_session=False)).rowcount == 1)  # type: ignore[attr-defined]


def codes_left(db: Session, user_id: str) -> int:
    """Return how many codes still work."""
    unused = select(func.count()).where(RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None))
    return db.execute(unused).scalar_one()


def made_at(db: Session, user_id: str) -> datetime | None:
    """Return when a person's codes were made; None when they have none."""
    return db.execute(select(func.max(RecoveryCode.created_at)).where(RecoveryCode.user_id == user_id)).scalar_one()


def forget_codes(db: Session, user_id: str) -> None:
    """Delete a person's codes."""
    db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


def _mac(keys: TenantKeys, user_id: str, code: str) -> bytes:
    # The tenant's key, the purpose and the person are what make a code worthless elsewhere.
    return keys.mac(_PURPOSE, f"{user_id}/{code}".encode())
