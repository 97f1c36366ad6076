"""What somebody has to do before anything else: choose a new password, or set up a second factor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from extranet.request.user import SignedIn

View = TypeVar("View", bound=Callable[..., Any])

WHERE = "preferences.security"
"""The page on which either is done."""


def while_factor_missing(view: View) -> View:
    """Keep a view open to somebody who has to set up a second factor before anything else.

    What is open while a password has expired is so then too.
    """
    view.is_open_while_factor_missing = True  # type: ignore[attr-defined]
    return view


def is_in_the_way(user: SignedIn, view: Any) -> bool:
    """Tell whether somebody has to do something else before they may see a view."""
    if getattr(view, "is_open_while_password_expired", False):
        return False
    return user.must_change_password or (
        user.factor_is_due and not getattr(view, "is_open_while_factor_missing", False)
    )
