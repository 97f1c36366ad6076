"""OpenID Connect's code flow: where to send the browser, and what the provider vouches for when it comes back."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from extranet.single_sign_on.attempts import Attempt, Purpose
from extranet.single_sign_on.discovery import KnownProviders, Metadata
from extranet.single_sign_on.outbound import Answer, Outbound
from extranet.single_sign_on.provider import Client
from extranet.single_sign_on.refusals import Reason, SignOnRefused
from tenants.keys import same

LEEWAY_SECONDS = 60
_SCOPE = "openid profile email"
_LONGEST_SUBJECT = 255
_LONGEST_NAME = 254
_REASONS = {"iss": Reason.ISSUER, "aud": Reason.AUDIENCE, "azp": Reason.AUDIENCE, "nonce": Reason.NONCE}
_CLOCKS = {"exp", "iat", "nbf"}


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom a provider vouches for. Only ``issuer`` and ``subject`` say who it is; the rest is what it calls them.

    ``is_fresh``: they proved who they are there after they were sent, and not some time before.
    """

    issuer: str
    subject: str
    claims: dict[str, Any]
    is_fresh: bool = False

    @property
    def email(self) -> str:
        """The address the provider knows, lower case; "" for none, or for one that is not plain text."""
        sent = self.claims.get("email")
        # Exactly what was verified: cleaned, it would be another address.
        return sent.lower() if isinstance(sent, str) and sent == self.text("email") else ""

    @property
    def has_verified_email(self) -> bool:
        """Whether the provider says that the address is theirs."""
        # Some send the word instead of the value.
        return bool(self.email) and self.claims.get("email_verified") in (True, "true")

    @property
    def name(self) -> str:
        """What they are called there."""
        shown = self.text("preferred_username") or self.text("email") or self.text("name") or self.subject
        return shown[:_LONGEST_NAME]

    def text(self, claim: str) -> str:
        """Return a claim that is text, without what cannot be printed; "" for any other."""
        value = self.claims.get(claim)
        return "".join(letter for letter in value if letter.isprintable()).strip() if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What it takes to ask a provider: of which tenant, as which client, and where it sends people back to."""

    tenant: str
    client: Client
    redirect_uri: str


def way_out(metadata: Metadata, asked: Asked, attempt: Attempt, language: str) -> str:
    """Return the address at the provider to send the browser to."""
    wanted = {
        "state": attempt.state,
        "nonce": attempt.nonce,
        "code_challenge": create_s256_code_challenge(attempt.verifier),
        "code_challenge_method": "S256",
        "ui_locales": language,
    }
    if attempt.purpose is Purpose.CONFIRM:
        wanted |= {"prompt": "login", "max_age": "0"}
    if attempt.purpose in {Purpose.LINK, Purpose.ACCEPT}:
        # Whoever happens to be signed in there need not be who sits here, and a link is for good.
        wanted |= {"prompt": "select_account"}
    address: str = prepare_grant_uri(
        metadata.authorization_endpoint, asked.client.client_id, "code", asked.redirect_uri, _SCOPE, **wanted
    )
    return address


def vouch(outbound: Outbound, providers: KnownProviders, asked: Asked, attempt: Attempt, code: str) -> Vouched:
    """Exchange a code and return whom the provider vouches for; hold no transaction meanwhile.

    Raises SignOnRefused, ProviderUnreachable or ProviderUnfit.
    """
    metadata = providers.metadata(asked.tenant, attempt.issuer)
    token = _exchange(outbound, metadata, asked, attempt, code)
    claims = _verified(providers, metadata, asked, token)
    _check(claims, metadata, asked.client, attempt)
    subject = claims["sub"]
    if not 1 <= len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise SignOnRefused(Reason.CLAIMS, detail="sub")
    is_fresh = _is_fresh(claims.get("auth_time"), attempt)
    if attempt.purpose is Purpose.CONFIRM and not is_fresh:
        raise SignOnRefused(Reason.NOT_FRESH, detail="auth_time")
    return Vouched(metadata.issuer, subject, claims, is_fresh)


def _exchange(outbound: Outbound, metadata: Metadata, asked: Asked, attempt: Attempt, code: str) -> str:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": asked.redirect_uri,
        "code_verifier": attempt.verifier,
    }
    headers = {}
    client = asked.client
    if client.client_secret and metadata.takes_basic:
        pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    else:
        form["client_id"] = client.client_id
        if client.client_secret:
            form["client_secret"] = client.client_secret
    answer = outbound.post(metadata.token_endpoint, urlencode(form), headers)
    said = _said(answer)
    token = said.get("id_token")
    if answer.status != 200 or not isinstance(token, str):
        raise SignOnRefused(Reason.EXCHANGE, detail=word_of(said.get("error")))
    return token


def _said(answer: Answer) -> dict[str, Any]:
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _verified(providers: KnownProviders, metadata: Metadata, asked: Asked, token: str) -> dict[str, Any]:
    try:
        try:
            return _decoded(token, providers.keys(asked.tenant, metadata.issuer), metadata)
        except InvalidKeyIdError:
            # Signed with a key that we have not seen: the provider may have a new one.
            anew = providers.keys(asked.tenant, metadata.issuer, has_unknown=True)
            return _decoded(token, anew, metadata)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SignOnRefused(Reason.SIGNATURE, detail=type(error).__name__) from error


def _decoded(token: str, keys: KeySet, metadata: Metadata) -> dict[str, Any]:
    registry = jws.JWSRegistry(algorithms=list(metadata.algorithms), strict_check_header=False)
    kid = jws.extract_compact(token.encode()).headers().get("kid")
    # Without the name of a key, each is tried: there are few.
    tried = [keys.get_by_kid(str(kid))] if kid is not None else list(keys)
    fault: Exception | None = None
    for key in tried:
        try:
            return jwt.decode(token, key, algorithms=list(metadata.algorithms), registry=registry).claims
        except (JoseError, ValueError, TypeError) as error:
            fault = error
    raise fault or InvalidKeyIdError


def _check(claims: dict[str, Any], metadata: Metadata, client: Client, attempt: Attempt) -> None:
    options: Any = {
        "iss": {"essential": True, "value": metadata.issuer},
        "aud": {"essential": True, "value": client.client_id},
        "sub": {"essential": True},
    }
    read = CodeIDToken(claims, {}, options, {"client_id": client.client_id})
    now = int(time.time())
    try:
        read.validate(now, LEEWAY_SECONDS)
    except ExpiredTokenError as error:
        raise SignOnRefused(Reason.CLOCK, detail="exp") from error
    except (InvalidClaimError, JoseError) as error:
        claim = word_of(getattr(error, "claim", ""))
        reason = Reason.CLOCK if claim in _CLOCKS else _REASONS.get(claim, Reason.CLAIMS)
        raise SignOnRefused(reason, detail=claim) from error
    if claims["iat"] < attempt.began - LEEWAY_SECONDS:
        # Made before anybody asked for it here.
        raise SignOnRefused(Reason.CLOCK, detail="iat")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not nonce.isascii() or not same(nonce.encode(), attempt.nonce.encode()):
        raise SignOnRefused(Reason.NONCE)


def _is_fresh(moment: object, attempt: Attempt) -> bool:
    """Tell whether the provider asked them after they set out: else they were signed in there before."""
    if not isinstance(moment, int | float) or isinstance(moment, bool):
        return False
    return attempt.began - LEEWAY_SECONDS <= moment <= time.time() + LEEWAY_SECONDS


def word_of(value: object) -> str:
    """Return a code of the other side's if it is one, for the log."""
    return value[:40] if isinstance(value, str) and value.replace("_", "").isalnum() and value.isascii() else ""
