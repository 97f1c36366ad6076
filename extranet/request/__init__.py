"""What happens to every request before a view, in this order. Each step may refuse; none may be skipped.

1  client    where it comes from: the socket, or exactly the trusted proxy
2  tenant    Host -> tenant; unknown 404, moved 308, suspended 503. Before anything that could name or touch data
3  body      size limits, before a byte of a form is read
4  cookies   the sealed cookie is opened with *this* tenant's key, or the visitor is anonymous
5  csrf      unsafe methods must prove they come from this host, before the login is believed
6  login     cookie -> login row in *this* tenant's database -> current.user; for the operator's support, a visit
7  access    closed unless the view is marked @public; roles; to support, unless it is marked @for_support

Afterwards, whatever happened: commit (or roll back), cookies, headers, one log line. Errors are mapped in one place.
"""

from __future__ import annotations

from flask import Flask

from extranet.request import access, body, client, cookies, csrf, errors, headers, log, login, pages, tenant


def init_app(app: Flask) -> None:
    """Install the steps. Flask runs ``before_request`` in this order and ``after_request`` in reverse."""
    app.after_request(log.finish)
    app.after_request(headers.add)
    app.after_request(cookies.write)
    app.after_request(tenant.commit)
    app.teardown_request(tenant.close)
    for step in (log.begin, client.find, tenant.find, body.check, cookies.read, csrf.check, login.find, access.check):
        app.before_request(step)
    errors.init_app(app)
    pages.init_app(app)
    login.init_app(app)
