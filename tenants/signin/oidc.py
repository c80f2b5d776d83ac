"""The way to a tenant's OpenID provider and back (OpenID Connect Core 1.0, code flow with PKCE, by Authlib).

A tenant names the provider, so what is asked of it is asked carefully: over TLS, of addresses that anyone could reach,
without following it elsewhere, and not for long.
"""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import DjangoOAuth2App
from authlib.integrations.django_client.integration import DjangoIntegration
from authlib.integrations.requests_client import OAuth2Session
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from joserfc.errors import JoseError
from requests import RequestException

from naas.core.errors import Refusal
from tenants.keys import vault
from tenants.models import SingleSignOn
from tenants.verbs.signon import Claims

#: Seconds in which a provider answers.
PATIENCE = 5
#: How tokens may be signed: with a key of which we know the public half.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")


class SignOnFailed(Refusal):
    """The provider did not answer, or not as it must."""

    # Not one of 500 and more, with which a session would not be saved: a way back is spent also when it failed.
    status = 400
    code = "sign-on-failed"
    title = "Single sign-on did not work"


class Guarded(OAuth2Session):  # type: ignore[misc]  # untyped library
    """Asks only what `refuse_inward` lets pass, follows no redirect and waits for nothing long."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Neither credentials nor proxies of the machine we run on.
        self.trust_env = False

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        refuse_inward(url)
        return super().request(method, url, *args, **kwargs | {"allow_redirects": False, "timeout": PATIENCE})


class Provider(DjangoOAuth2App):  # type: ignore[misc]  # untyped library
    client_cls = Guarded


def refuse_inward(url: str) -> None:
    """Raises `SignOnFailed` for an address without TLS, or one that leads into a network of ours."""
    parts = urlsplit(url)
    is_loopback_let = bool(settings.NAAS_SSO_LOOPBACK)
    if parts.scheme != "https" and not (is_loopback_let and parts.scheme == "http"):
        raise SignOnFailed("the provider names an address without TLS")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError) as error:
        raise SignOnFailed("the provider's name leads nowhere") from error
    for entry in found:
        address = ip_address(str(entry[4][0]).partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if is_loopback_let and address.is_loopback:
            continue
        if not address.is_global or address.is_multicast:
            raise SignOnFailed("the provider's name leads to an address that is not public")


def begin(request: HttpRequest, sign_on: SingleSignOn, back: str) -> HttpResponse:
    """Lead the person to the provider, which leads them to `back`. Raises `SignOnFailed`."""
    try:
        provider = _provider(sign_on)
        refuse_inward(str(provider.server_metadata.get("authorization_endpoint", "")))
        answer: HttpResponse = provider.authorize_redirect(request, back)
    except FAILURES as error:
        raise _failed(error) from error
    return answer


def finish(request: HttpRequest, sign_on: SingleSignOn) -> Claims:
    """Who came back, by a token that was signed for us, now, and for this person's way. Raises `SignOnFailed`."""
    try:
        provider = _provider(sign_on)
        wanted = {
            "iss": {"essential": True, "values": [provider.server_metadata["issuer"]]},
            "aud": {"essential": True, "values": [sign_on.client_id]},
            "sub": {"essential": True},
            "exp": {"essential": True},
        }
        token = provider.authorize_access_token(request, claims_options=wanted)
        said = dict(token["userinfo"])
        if "email" not in said and provider.server_metadata.get("userinfo_endpoint"):
            more = dict(provider.userinfo(token=token))
            said = more | said if more.get("sub") == said["sub"] else said
    except FAILURES as error:
        raise _failed(error) from error
    return Claims(
        issuer=sign_on.issuer,
        subject=str(said["sub"])[:255],
        email=str(said.get("email") or ""),
        is_verified=said.get("email_verified") is True,
        name=str(said.get("name") or ""),
    )


FAILURES = (AuthlibBaseError, JoseError, RequestException, KeyError, ValueError, RuntimeError, TypeError)


def _failed(error: Exception) -> SignOnFailed:
    said = getattr(error, "error", "") if isinstance(error, AuthlibBaseError) else type(error).__name__
    return SignOnFailed(f"the provider did not answer as it must ({str(said)[:80]}); begin again, or tell your owner")


def _provider(sign_on: SingleSignOn) -> Provider:
    """The tenant's provider, with what it says of itself."""
    provider = Provider(
        DjangoIntegration(f"signon-{sign_on.tenant_id}"),
        f"signon-{sign_on.tenant_id}",
        client_id=sign_on.client_id,
        client_secret=vault().decrypt(sign_on.sealed),
        server_metadata_url=f"{sign_on.issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": "openid email profile", "code_challenge_method": "S256"},
    )
    said = provider.load_server_metadata()
    if str(said["issuer"]).rstrip("/") != sign_on.issuer:
        raise SignOnFailed("the provider calls itself by another name than the one that was set")
    offered = said.get("id_token_signing_alg_values_supported") or ["RS256"]
    said["id_token_signing_alg_values_supported"] = [name for name in offered if name in ALGORITHMS]
    return provider
