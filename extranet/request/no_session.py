"""Flask's session, switched off: anything that still reaches for it fails loudly instead of sharing a key."""

from __future__ import annotations

from typing import Any, NoReturn

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin


class RefusingSession(dict[str, Any], SessionMixin):
    """Every use raises."""

    def _refuse(self, *_arguments: Any, **_named: Any) -> NoReturn:
        raise RuntimeError("Flask's session is not used here: see extranet/request/cookies.py.")

    __getitem__ = __setitem__ = __delitem__ = __contains__ = __iter__ = _refuse
    get = pop = setdefault = update = clear = keys = values = items = _refuse


class NoFlaskSession(SessionInterface):
    """Opens a session that refuses, and never sends a cookie."""

    def open_session(self, app: Flask, request: Request) -> RefusingSession:
        """Return the refusing session."""
        return RefusingSession()

    def is_null_session(self, obj: object) -> bool:
        """Never save it."""
        return True

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Not reached: the session above is always null."""
