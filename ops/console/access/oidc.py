"""Log people in by an OpenID Connect provider: authorization code with PKCE, state and nonce.

    begin   the URL at the provider, and an attempt that the browser keeps in a signed cookie
    finish  the code becomes an ID token, which is checked: signature, issuer, audience, time, nonce

The keys and addresses of the provider are asked for when they are needed, and kept for an hour.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from math import inf
from secrets import token_urlsafe
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from runtime.oidc_settings import is_safe_url

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    "Ed25519",
)
"""Signatures that only the provider can make; with a shared secret the console could, too."""

LEEWAY_SECONDS: Final = 60
_ANSWER_SECONDS: Final = 5
_KEPT_SECONDS: Final = 3600
_ASKED_AGAIN_SECONDS: Final = 60
"""Keys are asked for before their hour if one is unknown, but never more often than this."""
_SCOPE: Final = "openid email profile"
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class OidcFailed(Exception):
    """A login by the provider that did not work; the text is for the audit and the person."""


class OidcUnavailable(OidcFailed):
    """The provider did not answer, or not as a provider does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAttempt:
    """Random values that must come back from the provider."""

    state: str = field(repr=False, default_factory=lambda: token_urlsafe(32))
    nonce: str = field(repr=False, default_factory=lambda: token_urlsafe(32))
    verifier: str = field(repr=False, default_factory=lambda: token_urlsafe(48))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetched:
    document: Mapping[str, Any]
    at: float


class OidcProvider:
    """The provider, as one process of the console knows it; used by all its threads."""

    def __init__(
        self,
        *,
        issuer: str,
        client_id: str,
        client_secret: str | None,
        redirect_uri: str,
        monotonic: Callable[[], float],
    ) -> None:
        self.issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._monotonic = monotonic
        self._turn = threading.Lock()
        self._fetched: dict[str, _Fetched] = {}
        self._failed_at: dict[str, float] = {}

    @property
    def name(self) -> str:
        """The host of the provider, by which people know it."""
        return urlsplit(self.issuer).netloc

    def begin(self, attempt: LoginAttempt) -> str:
        """Return the URL at which the person logs in.

        Raises:
            OidcUnavailable: the provider did not say where.
        """
        with self._session() as session:
            url, _ = session.create_authorization_url(
                self._metadata()["authorization_endpoint"],
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(url)

    def finish(self, attempt: LoginAttempt, returned: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the claims of the person, of what the provider sent with the browser.

        Raises:
            OidcFailed: it belongs to another attempt, or the provider vouches for no one.
        """
        if not compare_digest(attempt.state.encode(), returned.get("state", "").encode()):
            raise OidcFailed("the state is not that of this browser")
        if returned.get("iss", self.issuer) != self.issuer:
            raise OidcFailed("another issuer sent the browser back")
        if "error" in returned or not returned.get("code"):
            raise OidcFailed("the provider let no one in")
        return self._checked(self._id_token(attempt, returned["code"]), attempt)

    def _id_token(self, attempt: LoginAttempt, code: str) -> str:
        try:
            with self._session() as session:
                token = session.fetch_token(
                    self._metadata()["token_endpoint"],
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=attempt.verifier,
                    redirect_uri=self._redirect_uri,
                    allow_redirects=False,
                )
        except AuthlibBaseError:
            raise OidcFailed("the provider did not take the code") from None
        except (requests.RequestException, ValueError) as error:
            _fail_to_answer(error)
        id_token = token.get("id_token")
        if not isinstance(id_token, str):
            raise OidcFailed("the provider sent no ID token")
        return id_token

    def _checked(self, id_token: str, attempt: LoginAttempt) -> Mapping[str, Any]:
        try:
            claims = self._verified(id_token)
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self._client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": attempt.nonce},
            ).validate(claims)
        except (JoseError, ValueError) as error:
            raise OidcFailed(f"the ID token is not valid: {type(error).__name__}") from None
        if claims.get("azp", self._client_id) != self._client_id:
            raise OidcFailed("the ID token is for another client")
        return claims

    def _verified(self, id_token: str) -> dict[str, Any]:
        try:
            return self._decoded(id_token, self._keys())
        except (JoseError, ValueError):
            # The provider may have new keys.
            fresh = self._keys(older_than=_ASKED_AGAIN_SECONDS)
            return self._decoded(id_token, fresh)

    def _decoded(self, id_token: str, keys: KeySet) -> dict[str, Any]:
        return jwt.decode(id_token, keys, algorithms=list(ALGORITHMS)).claims

    def _keys(self, *, older_than: float = _KEPT_SECONDS) -> KeySet:
        document = self._fetch(self._metadata()["jwks_uri"], older_than=older_than)
        return KeySet.import_key_set({"keys": _public(document.get("keys"))})

    def _metadata(self) -> Mapping[str, Any]:
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        document = self._fetch(url, older_than=_KEPT_SECONDS)
        if document.get("issuer") != self.issuer:
            raise OidcUnavailable("the provider names itself as another issuer")
        if not all(is_safe_url(str(document.get(name, ""))) for name in _ENDPOINTS):
            raise OidcUnavailable("the provider names an address that is no https URL")
        return document

    def _fetch(self, url: str, *, older_than: float) -> Mapping[str, Any]:
        came = self._monotonic()
        with self._turn:
            known = self._fetched.get(url)
            if known is not None and self._monotonic() - known.at < older_than:
                return known.document
            if self._failed_at.get(url, -inf) >= came:
                # Else those who waited would ask one after another, each for its whole time-out.
                raise OidcUnavailable("the provider did not answer")
            try:
                document = _get(url)
            except OidcUnavailable:
                self._failed_at[url] = self._monotonic()
                raise
            self._fetched[url] = _Fetched(document=document, at=self._monotonic())
            return document

    def _session(self) -> Any:
        return OAuth2Session(  # type: ignore[no-untyped-call]
            self._client_id,
            self._client_secret,
            scope=_SCOPE,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            default_timeout=_ANSWER_SECONDS,
        )


def _get(url: str) -> Mapping[str, Any]:
    try:
        answer = requests.get(url, timeout=_ANSWER_SECONDS, allow_redirects=False)
        answer.raise_for_status()
        document = answer.json()
    except (requests.RequestException, ValueError) as error:
        _fail_to_answer(error)
    if not isinstance(document, dict):
        raise OidcUnavailable("the provider did not answer as a provider does")
    return document


def _fail_to_answer(error: Exception) -> NoReturn:
    raise OidcUnavailable(f"the provider did not answer: {type(error).__name__}") from None


def _public(keys: object) -> list[Any]:
    """Return the keys that can check a signature of ours; a shared secret is none."""
    listed = keys if isinstance(keys, list) else []
    return [
        key
        for key in listed
        if isinstance(key, dict)
        and key.get("kty") in {"RSA", "EC", "OKP"}
        and key.get("use", "sig") == "sig"
    ]
