"""What an identity provider says about itself: where its doors are, and the keys that it signs with.

For the administrator's "try the connection":

    from extranet.single_sign_on.discovery import discover
    metadata = discover(current.platform.outbound, issuer)   # -> Metadata; raises ProviderUnreachable or ProviderUnfit

Both errors carry one translated sentence for the administrator. It asks the network for up to ten seconds and more:
hold no transaction meanwhile (``current.db.commit()`` or ``rollback()`` first).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any, TypeVar, cast

from cachetools import TTLCache
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from extranet.errors import ProviderFault, ProviderUnfit, ProviderUnreachable
from extranet.i18n import gettext as _
from extranet.single_sign_on.outbound import Answer, Outbound

KEPT_SECONDS = 600
FAULT_SECONDS = 15
KEYS_ANEW_SECONDS = 60
TURN_SECONDS = 2.0
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""Those with a public key alone: a token signed with a secret, or not at all, is worth nothing."""

_WELL_KNOWN = "/.well-known/openid-configuration"
_BASIC = "client_secret_basic"
_MOST_PROVIDERS = 5_000

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider says about itself, as far as we ask. ``algorithms`` are those of ours that it signs with."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    algorithms: tuple[str, ...]
    takes_basic: bool
    names_itself: bool


def discover(outbound: Outbound, issuer: str) -> Metadata:
    """Ask a provider about itself; raise ProviderUnreachable or ProviderUnfit, each with a sentence for its owner."""
    outbound.target(issuer)
    if "?" in issuer:
        raise ProviderUnfit(_("This is not an address of a sign-on provider."))
    said = _json(outbound.get(issuer.rstrip("/") + _WELL_KNOWN))
    if said.get("issuer") != issuer:
        named = said.get("issuer")
        raise ProviderUnfit(
            _("The provider calls itself %(issuer)s. Enter exactly that.", issuer=named[:200])
            if isinstance(named, str)
            else _("What answers at this address is no sign-on provider.")
        )
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        outbound.target(_text(said, name))
    _refuse_unfit(said)
    return Metadata(
        issuer=issuer,
        authorization_endpoint=_text(said, "authorization_endpoint"),
        token_endpoint=_text(said, "token_endpoint"),
        jwks_uri=_text(said, "jwks_uri"),
        algorithms=_algorithms(said),
        takes_basic=_BASIC in _list(said, "token_endpoint_auth_methods_supported", _BASIC),
        names_itself=said.get("authorization_response_iss_parameter_supported") is True,
    )


def fetch_keys(outbound: Outbound, metadata: Metadata) -> KeySet:
    """Fetch the keys a provider signs with; raise ProviderUnreachable or ProviderUnfit."""
    said = _json(outbound.get(metadata.jwks_uri))
    keys = []
    for key in _usable(said.get("keys")):
        # One of a kind we do not know is no fault (RFC 7517, 5).
        with suppress(JoseError, ValueError, TypeError, KeyError):
            keys.extend(KeySet.import_key_set(cast(Any, {"keys": [key]})).keys)
    if not keys:
        raise ProviderUnfit(_("The provider names no key it signs with."))
    return KeySet(keys)


@dataclass(slots=True)
class _Known:
    metadata: Metadata
    keys: KeySet | None = None
    asked_keys_at: float = 0.0


class KnownProviders:
    """What providers said in the last ten minutes, for each tenant by itself; nothing a tenant enters reaches another.

    A provider that did not answer is not asked again for some seconds: each visitor would hold a worker that long.
    """

    def __init__(self, outbound: Outbound, clock: Callable[[], float] = monotonic) -> None:
        self._outbound = outbound
        self._clock = clock
        self._lock = Lock()
        self._known: TTLCache[tuple[str, str], _Known] = TTLCache(_MOST_PROVIDERS, KEPT_SECONDS, clock)
        self._turns: dict[str, Lock] = {}
        self._faults: TTLCache[tuple[str, str], ProviderFault] = TTLCache(_MOST_PROVIDERS, FAULT_SECONDS, clock)

    def metadata(self, tenant: str, issuer: str) -> Metadata:
        """Return what a tenant's provider says about itself; raise ProviderUnreachable or ProviderUnfit."""
        return self._of(tenant, issuer).metadata

    def keys(self, tenant: str, issuer: str, *, has_unknown: bool = False) -> KeySet:
        """Return a provider's keys; once a minute anew when it signed with one that ``has_unknown`` to us."""
        known = self._of(tenant, issuer)
        now = self._clock()
        if known.keys is None or (has_unknown and now - known.asked_keys_at >= KEYS_ANEW_SECONDS):
            known.asked_keys_at = now
            known.keys = self._asking(tenant, issuer, lambda: fetch_keys(self._outbound, known.metadata))
        return known.keys

    def _of(self, tenant: str, issuer: str) -> _Known:
        with self._lock:
            known = self._known.get((tenant, issuer))
            turn = self._turns.setdefault(tenant, Lock())
        if known is not None:
            return known
        # One asks, the others wait for what it hears, but not for long: each holds a worker.
        if not turn.acquire(timeout=TURN_SECONDS):
            raise ProviderUnreachable(
                _("%(host)s does not answer. Is it running, and may this service reach it?", host=issuer)
            )
        try:
            return self._found(tenant, issuer)
        finally:
            turn.release()

    def _found(self, tenant: str, issuer: str) -> _Known:
        with self._lock:
            known = self._known.get((tenant, issuer))
        if known is not None:
            return known
        found = _Known(self._asking(tenant, issuer, lambda: discover(self._outbound, issuer)))
        with self._lock:
            self._known[tenant, issuer] = found
        return found

    def _asking(self, tenant: str, issuer: str, ask: Callable[[], Found]) -> Found:
        with self._lock:
            known_fault = self._faults.get((tenant, issuer))
        if known_fault is not None:
            raise type(known_fault)(str(known_fault))
        try:
            return ask()
        except ProviderFault as fault:
            with self._lock:
                self._faults[tenant, issuer] = fault
            raise


def _refuse_unfit(said: dict[str, Any]) -> None:
    if "code" not in _list(said, "response_types_supported", "code"):
        raise ProviderUnfit(_("The provider does not offer signing in by code, which this service needs."))
    if "S256" not in _list(said, "code_challenge_methods_supported", "S256"):
        raise ProviderUnfit(_("The provider does not offer PKCE with S256, which this service needs."))
    if not _algorithms(said):
        raise ProviderUnfit(_("The provider signs in no way that this service can check (RS256 for example)."))


def _algorithms(said: dict[str, Any]) -> tuple[str, ...]:
    offered = _list(said, "id_token_signing_alg_values_supported", "RS256")
    return tuple(name for name in ALGORITHMS if name in offered)


def _list(said: dict[str, Any], name: str, default: str) -> list[Any]:
    value = said.get(name, [default])
    return value if isinstance(value, list) else []


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str):
        raise ProviderUnfit(_("What answers at this address is no sign-on provider."))
    return value


def _usable(keys: object) -> list[dict[str, Any]]:
    """Return the public keys for signatures; others in the set are for other uses, or for nobody's eyes."""
    found = [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []
    return [key for key in found if key.get("kty") in {"RSA", "EC", "OKP"} and key.get("use", "sig") == "sig"]


def _json(answer: Answer) -> dict[str, Any]:
    if answer.status != 200:
        raise ProviderUnfit(_("%(host)s answers with status %(status)s.", host=answer.host, status=answer.status))
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise ProviderUnfit(_("What answers at this address is no sign-on provider.")) from error
    if not isinstance(said, dict):
        raise ProviderUnfit(_("What answers at this address is no sign-on provider."))
    return said
