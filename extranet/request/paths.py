"""Addresses that lead somewhere on this very host, and nowhere else."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from flask import current_app, request, url_for
from werkzeug.exceptions import HTTPException

from extranet.request.current import current
from tenants.hosts import parse_host

# A path on this very host: one slash, then neither a second nor a backslash, and nothing a browser would drop.
LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)


def local_path(target: str) -> str:
    """Return ``target`` when it is a path on this host, else the home page: no open redirect."""
    return target if LOCAL_PATH.fullmatch(target) else url_for("today.show")


def asked_path() -> str:
    """Return the path and query that were asked for."""
    return request.full_path.rstrip("?")


def referring_path() -> str:
    """Return the path of the page on this host whose form is being answered, or "" when it is not known."""
    try:
        parts = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return ""
    own = current.platform.settings.origin(parse_host(request.environ["HTTP_HOST"]))
    if f"{parts.scheme}://{parts.netloc}" != own or not _is_a_page(parts.path):
        return ""
    return parts.path + (f"?{parts.query}" if parts.query else "")


def path_of(endpoint: str) -> str:
    """Return the path of another view, filled in with what the address at hand says."""
    rule = next(current_app.url_map.iter_rules(endpoint))
    known = {name: value for name, value in (request.view_args or {}).items() if name in rule.arguments}
    return url_for(endpoint, **known)


def _is_a_page(path: str) -> bool:
    # What a form was sent to and answered with its faults has an address that only takes forms.
    try:
        current_app.create_url_adapter(request).match(path, method="GET")  # type: ignore[union-attr]
    except HTTPException:
        return False
    return True
