"""Settings, options and custom hosts -> the text of nginx's configuration. Pure: it reads its templates and no more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from tenants.errors import BadSettings
from tenants.settings import Settings
from tenants.tenant import SLUG_LENGTH, SLUG_PATTERN

# The same as extranet.request.headers sends: a test holds the two together, for this side never loads Flask.
_STRICT_TRANSPORT_SECURITY = "max-age=63072000; includeSubDomains"

# By one name or another, some library believes each of these about the client, its address, scheme, host or method.
_BLANKED_HEADERS = (
    "Forwarded",
    "X-Forwarded",
    "X-Forwarded-By",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Protocol",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Originating-IP",
    "X-Remote-Addr",
    "X-Remote-User",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "Front-End-Https",
    "X-Scheme",
    "X-Url-Scheme",
    "X-Host",
    "X-Original-Host",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Script-Name",
    "Script-Name",
    "X-HTTP-Method-Override",
    "X-HTTP-Method",
    "X-Method-Override",
    "Proxy",
    "Upgrade",
)

# What nginx's own language gives no meaning to.
_PLAIN = re.compile(r"[A-Za-z0-9_./@%+=:,\[\]-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Site:
    """What the operator decides about the front door. ``addresses`` empty: every address of IPv4 and IPv6."""

    certificate: str
    key: str
    socket: str
    https: int
    http: int
    addresses: tuple[str, ...]
    static: str
    access_log: str


@dataclass(frozen=True, slots=True)
class CustomHost:
    """A tenant's own host, with its certificate."""

    name: str
    certificate: str
    key: str


def render(settings: Settings, site: Site, custom_hosts: Sequence[CustomHost]) -> str:
    """Return the configuration; raise BadSettings for what nginx could not be told."""
    if settings.is_local:
        raise BadSettings(
            "localhost is served without nginx: set EXTRANET_DOMAIN to the domain that tenants answer at."
        )
    for text in (site.certificate, site.key, site.socket, *site.addresses, site.access_log, site.static):
        _check_plain(text)
    for host in custom_hosts:
        for text in (host.name, host.certificate, host.key):
            _check_plain(text)
    environment = Environment(
        loader=PackageLoader("nginx", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - nginx's configuration is not HTML; every value has been checked above
    )
    return environment.get_template("extranet.conf.j2").render(
        settings=settings,
        site=site,
        custom_hosts=custom_hosts,
        addresses=[_with_colon(address) for address in site.addresses] or ["", "[::]:"],
        slug_hosts=_slug_hosts(settings.domain),
        port_suffix="" if settings.port == 443 else f":{settings.port}",
        hsts=_STRICT_TRANSPORT_SECURITY,
        blanked=_BLANKED_HEADERS,
    )


def _slug_hosts(domain: str) -> str:
    longest, shortest = SLUG_LENGTH[-1], SLUG_LENGTH[0]
    return rf'"~^(?=[^.]{{{shortest},{longest}}}\.){SLUG_PATTERN}\.{re.escape(domain)}$"'


def _with_colon(address: str) -> str:
    return f"[{address}]:" if ":" in address and not address.startswith("[") else f"{address}:"


def _check_plain(text: str) -> None:
    if text and not _PLAIN.fullmatch(text):
        raise BadSettings(f"nginx would misread {text!r}: use a path of letters, digits and - _ . / only.")
