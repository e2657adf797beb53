"""Identity providers that do what a test tells them: lie, rotate keys, be slow, fail.

Each is an HTTP server of its own in a thread. The real provider of the tests is `oidc-provider`;
these are for what no honest provider does.
"""

import contextlib
import functools
import hashlib
import hmac
import json
import secrets
import socket
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jws, jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from webob import Request, Response

from .servers import serve_in_thread

CLIENT_ID, CLIENT_SECRET = "oauthdevice", "the secret of the client: a+b/c="
ADA = {"sub": "ada-1", "email": "ada@corp.example", "email_verified": True}


def new_key(kid: str) -> RSAKey:
    """A signing key; making one takes a moment."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


@functools.cache
def first_key() -> RSAKey:
    """The one that every provider begins with."""
    return new_key("first")


def compact(header: Any, claims: Any, sign: Callable[[bytes], bytes] = lambda _: b"") -> str:
    """A statement (RFC 7515 §3.1) as no library makes one: `sign` signs what comes before the last dot."""
    parts = (part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims))
    signed = ".".join(_base64url(part) for part in parts)
    return f"{signed}.{_base64url(sign(signed.encode()))}"


def hmac_with(secret: bytes, digest: str = "sha256") -> Callable[[bytes], bytes]:
    """For `compact`: HS256 under any bytes, those of a public key too."""
    return lambda text: hmac.digest(secret, text, digest)


def _base64url(part: bytes) -> str:
    return urlsafe_b64encode(part).decode().rstrip("=")


class Scripted:
    """A server whose answers a test can replace. `paths` counts what was asked, in order.

    `replaced` holds whole answers by path.
    """

    def __init__(self) -> None:
        self.url = ""
        self.paths: list[str] = []
        self.down = False
        self.replaced: dict[str, Response] = {}
        # Set while answers are to wait; a slow provider is one that waits for it.
        self.answering = threading.Event()
        self.answering.set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        request = Request(environ)
        self.paths.append(request.path)
        self.answering.wait(30)
        response = Response(status=500) if self.down else self.replaced.get(request.path) or self.answer(request)
        return response(environ, start_response)

    def answer(self, request: Request) -> Response:
        raise NotImplementedError


class ScriptedProvider(Scripted):
    """An OpenID Connect provider. `person` holds the claims that it tells; `claims` are those of the next ID
    token beyond them, None takes one away; `told_by_userinfo` moves the e-mail there, as many providers do.
    Where `codes_last`, a code can be redeemed again: no guard of the provider's then hides that ours is missing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.key = first_key()
        self.published = [self.key]
        self.person: dict[str, Any] = dict(ADA)
        self.claims: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.told_by_userinfo = False
        self.userinfo: dict[str, Any] = {}
        # From the claims to the ID token, where a test wants another signature.
        self.signed: Callable[[dict[str, Any]], str] | None = None
        self.token_answer: dict[str, Any] | None = None
        self.codes_last = False
        self._codes: dict[str, dict[str, str]] = {}
        self.asked: dict[str, str] = {}

    def rotate(self) -> None:
        """From now on another key signs, and only that one is published."""
        self.key = new_key(secrets.token_hex(4))
        self.published = [self.key]

    def sign_in(self, location: str, **changed: str | None) -> str:
        """What a browser brings back from `location`: the path and query of our callback.

        `changed` are parameters of that answer; None takes one away.
        """
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        code = secrets.token_urlsafe(16)
        self._codes[code] = dict(self.asked)
        answer: dict[str, str | None] = {"code": code, "state": self.asked["state"], "iss": self.url, **changed}
        callback = urlsplit(self.asked["redirect_uri"]).path
        return f"{callback}?{urlencode({name: value for name, value in answer.items() if value is not None})}"

    def id_token(self, claims: dict[str, Any]) -> str:
        """`claims`, signed as the published key does."""
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key, algorithms=["RS256"])

    def answer(self, request: Request) -> Response:
        if request.path == "/.well-known/openid-configuration":
            told = {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "jwks_uri": f"{self.url}/jwks",
                "authorization_response_iss_parameter_supported": True,
                **self.metadata,
            }
            return Response(json_body={name: value for name, value in told.items() if value is not None})
        if request.path == "/jwks":
            return Response(json_body=KeySet(list(self.published)).as_dict())
        if request.path == "/token":
            return self._token(request)
        if request.path == "/userinfo" and request.authorization == ("Bearer", "an access token"):
            return Response(json_body={"sub": self.person["sub"], **self.person, **self.userinfo})
        return Response(status=404)

    def _token(self, request: Request) -> Response:
        if self.token_answer is not None:
            return Response(json_body=self.token_answer)
        asked = self._codes.get(request.POST["code"])
        if not self.codes_last:
            self._codes.pop(request.POST["code"], None)
        verifier = hashlib.sha256(request.POST["code_verifier"].encode()).digest()
        if asked is None or _base64url(verifier) != asked["code_challenge"]:
            return Response(status=400, json_body={"error": "invalid_grant"})
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **({"sub": self.person["sub"]} if self.told_by_userinfo else self.person),
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        id_token = (self.signed or self.id_token)(claims)
        return Response(json_body={"access_token": "an access token", "token_type": "Bearer", "id_token": id_token})


class ScriptedBroker(Scripted):
    """A broker with HS256 keys of its own. `states` are the claims of the signed states that it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.issuer = "https://broker.example.com"
        self.state_key = OctKey.generate_key(256, {"kid": "state-1"})
        self.assertion_key: Any = OctKey.generate_key(256, {"kid": "assertion-1"})
        self.states: list[dict[str, Any]] = []
        self.reply: dict[str, Any] | None = None

    def answer(self, request: Request) -> Response:
        if request.path == "/jwks":
            return Response(json_body=KeySet([self.assertion_key]).as_dict())
        state = jwt.decode(request.json["signed_state"], self.state_key, algorithms=["HS256"])
        self.states.append(state.claims)
        told = {"url": f"{self.url}/login"} if self.reply is None else self.reply
        return Response(json_body=told)

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What an honest assertion about Ada says, in answer to the last state; None takes a claim away."""
        state, now = self.states[-1], int(time.time())
        told = {
            "iss": self.issuer,
            "aud": "api.device_flow.external_subject_assertion",
            "iat": now,
            "exp": now + 300,
            "nonce": state["nonce"],
            "user_code": state["user_code"],
            "email": "ada@corp.example",
            "issuer": "https://idp.example.com",
            **changed,
        }
        return {name: value for name, value in told.items() if value is not None}

    def assertion(self, claims: dict[str, Any] | None = None, key: Any = None, **header: Any) -> str:
        """A signed assertion; `header` changes its header, None takes a parameter away."""
        key = key or self.assertion_key
        algorithm = "HS256" if isinstance(key, OctKey) else "RS256"
        given = {"alg": algorithm, "kid": key.kid, **header}
        given = {name: value for name, value in given.items() if value is not None}
        registry = jws.JWSRegistry(algorithms=[given["alg"]], strict_check_header=False)
        return jwt.encode(given, claims or self.claims(), key, registry=registry)


@contextlib.contextmanager
def running(scripted: Scripted) -> Iterator[Scripted]:
    """The server, listening on `scripted.url`."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        scripted.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with serve_in_thread(scripted, listener):
            try:
                yield scripted
            finally:
                scripted.answering.set()
