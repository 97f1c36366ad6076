"""Support access: importing this declares the views of both sides."""

from __future__ import annotations

from extranet.support import granting, visiting
from extranet.support.blueprint import blueprint

__all__ = ["blueprint", "granting", "visiting"]
