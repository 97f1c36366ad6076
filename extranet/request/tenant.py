"""Step 2: Host -> tenant, and the only place that opens and closes tenant databases for the web."""

from __future__ import annotations

from urllib.parse import quote

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from extranet.request.access import is_platform
from extranet.request.current import current
from tenants.errors import BadHost, HostMoved
from tenants.hosts import parse_host


class PlainHttp(BadHost):
    """Raised when a request outside localhost did not come over TLS."""


def find() -> AnyResponse | None:
    """Set ``current.tenant`` from the Host header alone, or raise what the resolver and the host parser raise."""
    if is_platform(request):
        return None
    _refuse_absolute_form()
    host = parse_host(request.environ.get("HTTP_HOST", ""))
    settings = current.platform.settings
    if current.client.scheme != settings.scheme:
        raise PlainHttp("This address is served over TLS alone.")
    try:
        current.state.tenant = current.platform.tenancy.resolver.resolve(host)
    except HostMoved as moved:
        # The path is kept, the query is not: it could carry what was meant for the old host's page alone.
        return redirect(settings.origin(settings.host_of(moved.slug)) + quote(request.path), 308)
    return None


def commit(response: Response) -> Response:
    """Make what the view did durable before a byte of the answer leaves."""
    db = current.state.db
    if db is not None and current.state.writes:
        db.commit()
    return response


def close(_error: BaseException | None) -> None:
    """Roll back what was not committed and give the connection back."""
    current.state.resources.close()


def _refuse_absolute_form() -> None:
    # "GET http://globex… HTTP/1.1" with "Host: acme…": two answers to one question.
    target = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or "/"
    if not target.startswith("/"):
        raise BadHost("The request target names a host of its own.")
