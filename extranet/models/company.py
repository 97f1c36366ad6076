"""The customer's own registration, its look and its defaults: one row, and what it said before."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Boolean, Integer, String, Text, text, true
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, utc_now

THE_COMPANY = 1


class SecondFactorPolicy(StrEnum):
    """Who has to have a second factor; administrators always do once a deadline has passed for anybody."""

    OPTIONAL = "optional"
    ADMINS = "admins"
    EVERYBODY = "everybody"


class Company(Base):
    """The one company of this tenant. About an organisation, not a person: nothing here is personal."""

    __tablename__ = "company"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False, default=THE_COMPANY, info=TECHNICAL)
    legal_name: Mapped[str] = mapped_column(String(200), info=TECHNICAL)
    trading_name: Mapped[str] = mapped_column(String(200), default="", info=TECHNICAL)
    legal_form: Mapped[str] = mapped_column(String(100), default="", info=TECHNICAL)
    registration_number: Mapped[str] = mapped_column(String(40), default="", info=TECHNICAL)
    vat_id: Mapped[str] = mapped_column(String(20), default="", info=TECHNICAL)
    sector: Mapped[str] = mapped_column(String(32), default="", info=TECHNICAL)
    street: Mapped[str] = mapped_column(String(200), default="", info=TECHNICAL)
    postcode: Mapped[str] = mapped_column(String(20), default="", info=TECHNICAL)
    city: Mapped[str] = mapped_column(String(100), default="", info=TECHNICAL)
    country: Mapped[str] = mapped_column(String(2), default="", info=TECHNICAL)
    phone: Mapped[str] = mapped_column(String(40), default="", info=TECHNICAL)
    website: Mapped[str] = mapped_column(String(200), default="", info=TECHNICAL)
    accent_hue: Mapped[int] = mapped_column(Integer, default=210, info=TECHNICAL)
    language: Mapped[str] = mapped_column(String(8), info=TECHNICAL)
    time_zone: Mapped[str] = mapped_column(String(64), info=TECHNICAL)
    logo: Mapped[str] = mapped_column(String(32), default="", server_default=text("''"), info=TECHNICAL)
    welcome: Mapped[str] = mapped_column(String(500), default="", server_default=text("''"), info=TECHNICAL)
    second_factor: Mapped[str] = mapped_column(
        String(16), default=SecondFactorPolicy.OPTIONAL, server_default="optional", info=TECHNICAL
    )
    # From then on whoever has none sets one up before anything else.
    second_factor_from: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    shortest_password: Mapped[int] = mapped_column(Integer, default=12, server_default="12", info=TECHNICAL)
    idle_minutes: Mapped[int] = mapped_column(Integer, default=60, server_default="60", info=TECHNICAL)
    forces_browser_mail: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true(), info=TECHNICAL)
    # How long the logs are kept (CNIL 2021-122: six to twelve months).
    log_days: Mapped[int] = mapped_column(Integer, default=365, server_default="365", info=TECHNICAL)


class CompanyVersion(Base):
    """One change to the company's registration: ``changes`` is JSON, a list of [field, old, new]."""

    __tablename__ = "company_version"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    changed_by: Mapped[str] = mapped_column(String(ID_LENGTH), info=opaque_reference(retention="contract"))
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, index=True, info=TECHNICAL)
    changes: Mapped[str] = mapped_column(Text, info=TECHNICAL)
