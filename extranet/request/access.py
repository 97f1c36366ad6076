"""Step 7: every view is closed unless it says otherwise, loudly, with one of the marks below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Request, current_app, redirect, request, url_for
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response

from extranet.models import Role
from extranet.request import obligations, visit
from extranet.request.current import current
from extranet.request.paths import asked_path, path_of, referring_path

View = TypeVar("View", bound=Callable[..., Any])


def public(view: View) -> View:
    """Open a view to visitors who are not signed in. Each one is listed in a test."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def platform_page(view: View) -> View:
    """Open a view at any host, without a tenant: health checks. Each one is listed in a test."""
    view.is_platform = True  # type: ignore[attr-defined]
    return public(view)


def requires(*roles: Role) -> Callable[[View], View]:
    """Open a view to these roles alone."""

    def mark(view: View) -> View:
        view.roles = frozenset(roles)  # type: ignore[attr-defined]
        return view

    return mark


def while_password_expired(view: View) -> View:
    """Keep a view open to somebody who has to choose a new password before anything else."""
    view.is_open_while_password_expired = True  # type: ignore[attr-defined]
    return view


def sensitive(view: View) -> View:
    """Open a view only to somebody who proved who they are in the last ten minutes; others are asked to, first.

    Nothing is changed by then: they are led back to the page itself, or to the one that holds the form (``form_on``).
    """
    view.is_sensitive = True  # type: ignore[attr-defined]
    return view


def for_support(view: View) -> View:
    """Open a view to the operator's support while a grant stands; a form, only under one that lets it change things.

    Never a sensitive one. Each is listed in a test.
    """
    view.is_for_support = True  # type: ignore[attr-defined]
    return view


def form_on(endpoint: str) -> Callable[[View], View]:
    """Name the page that leads to a sensitive view. Without it: the page at hand, or the one the browser names."""

    def mark(view: View) -> View:
        view.form_on = endpoint  # type: ignore[attr-defined]
        return view

    return mark


def check() -> Response | None:
    """Send strangers to the sign-in page, refuse who has not the role, and ask for proof where it matters."""
    if isinstance(request.routing_exception, RequestRedirect):
        return redirect(_path_of(request.routing_exception.new_url), 308)
    if request.routing_exception is not None:
        return None
    view = _view_of(request)
    if current.is_signed_in and current.user.visit is not None:
        visit.check(view)
    if getattr(view, "is_public", False):
        return None
    if not current.is_signed_in:
        if current.state.writes:
            raise Unauthorized
        return redirect(url_for("accounts.login", next=asked_path()), 303)
    if obligations.is_in_the_way(current.user, view):
        return redirect(url_for(obligations.WHERE), 303)
    roles = getattr(view, "roles", None)
    if roles is not None and current.user.role not in roles:
        raise Forbidden
    if getattr(view, "is_sensitive", False) and not current.user.is_proved:
        return redirect(url_for("confirmation.show", next=_page_before(view)), 303)
    return None


def is_platform(asked: Request) -> bool:
    """Tell whether a request is for a page without tenant."""
    return getattr(_view_of(asked), "is_platform", False)


def _page_before(view: Any) -> str:
    if endpoint := getattr(view, "form_on", ""):
        return path_of(endpoint)
    return referring_path() if current.state.writes else asked_path()


def _path_of(url: str) -> str:
    # Werkzeug spells out scheme and host, and would have to guess the port, which only nginx knows.
    parts = urlsplit(url)
    return "/" + parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")


def _view_of(asked: Request) -> Any:
    return current_app.view_functions.get(asked.endpoint or "")
