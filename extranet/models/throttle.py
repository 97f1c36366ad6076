"""Attempts counted against this tenant's accounts and browsers."""

from extranet.models.base import Base
from tenants.throttle import make_throttle_table

throttle_table = make_throttle_table(Base.metadata)
