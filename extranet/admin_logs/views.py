"""Both log pages: importing this declares their views."""

from __future__ import annotations

from extranet.admin_logs import activity, looking, security
from extranet.admin_logs.blueprint import blueprint

__all__ = ["activity", "blueprint", "looking", "security"]
