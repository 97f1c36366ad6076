"""What every answer says to the browser. Everything is forbidden first; what the pages need is listed."""

from __future__ import annotations

from flask import Response, request

from extranet.request.current import current

_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)

_ALWAYS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex, nofollow",
}
# Two years, as Mozilla's guideline 6.0 has it.
_STRICT_TRANSPORT_SECURITY = "max-age=63072000; includeSubDomains"


def add(response: Response) -> Response:
    """Add the headers a view has not set more strictly itself."""
    for name, value in _ALWAYS.items():
        response.headers.setdefault(name, value)
    if not current.platform.settings.is_local:
        response.headers.setdefault("Strict-Transport-Security", _STRICT_TRANSPORT_SECURITY)
    if request.endpoint == "static" and response.status_code in {200, 304}:
        # The address changes with the content (see pages.static).
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:
        response.headers.setdefault("Cache-Control", "no-store")
        response.vary.add("Cookie")
    return response
