"""An OpenID Connect provider on loopback, honest unless a test makes it lie."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

CLIENT_ID, CLIENT_SECRET = "paidup-console", "a-secret-of-the-client"


@dataclass(kw_only=True)
class LocalProvider:
    """One provider with one person; what is set here changes what it says next."""

    claims: dict[str, Any] = field(default_factory=lambda: {"groups": ["support"]})
    """Claims beside those that every ID token has; None takes one away."""
    metadata: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1"}))
    signs_with: str = "RS256"
    published: RSAKey | None = None
    is_down: bool = False
    issuer: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def authorize(self, url: str) -> str:
        """Log the person in at the URL that the console gave; return where the browser goes."""
        query = dict(parse_qsl(urlsplit(url).query))
        assert query["client_id"] == CLIENT_ID
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = token_urlsafe(16)
        self.codes[code] = query
        back = urlencode({"code": code, "state": query["state"], "iss": self.issuer})
        return f"{query['redirect_uri']}?{back}"

    def answer(self, request: Request) -> Response:
        """Answer a request of the console."""
        self.asked.append(request.path)
        if self.is_down:
            return Response(status=503)
        match request.path:
            case "/.well-known/openid-configuration":
                return _json(self._metadata())
            case "/jwks":
                key = self.published or self.key
                return _json({"keys": [key.as_dict(private=False)]})
            case "/token":
                return self._token(request)
            case _:
                return Response(status=404)

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            **self.metadata,
        }

    def _token(self, request: Request) -> Response:
        login = request.authorization
        known = login is not None and (login.username, login.password) == (CLIENT_ID, CLIENT_SECRET)
        begun = self.codes.pop(request.form.get("code", ""), None)
        digest = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
        challenge = _base64(digest)
        if not known or begun is None or begun["code_challenge"] != challenge:
            return _json({"error": "invalid_grant"}, 400)
        assert request.form["redirect_uri"] == begun["redirect_uri"]
        id_token = self._signed(begun["nonce"])
        return _json({"access_token": "a", "token_type": "Bearer", "id_token": id_token})

    def _signed(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "subject-1",
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "email": "ada@example.com",
            **self.claims,
        }
        said = {name: value for name, value in claims.items() if value is not None}
        if self.signs_with == "none":
            return f"{_encoded({'alg': 'none'})}.{_encoded(said)}."
        if self.signs_with == "HS256":
            signed = f"{_encoded({'alg': 'HS256', 'kid': self.key.kid})}.{_encoded(said)}"
            made = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
            return f"{signed}.{_base64(made)}"
        header = {"alg": self.signs_with, "kid": self.key.kid}
        return jwt.encode(header, said, self.key, algorithms=[self.signs_with])


@contextmanager
def local_provider() -> Iterator[LocalProvider]:
    """Yield a provider on a free port."""
    provider = LocalProvider()
    application = Request.application(provider.answer)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(document), status, mimetype="application/json")


def _encoded(document: dict[str, Any]) -> str:
    return _base64(json.dumps(document).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
