"""A server that announces proofs of possession and gets them wrong, each in the way that a test asks for."""

import base64
import contextlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from webob import Request, Response

URL = "http://localhost"


@dataclass
class Careless:
    """A WSGI application; every code is approved at once.

    `code_first`: looks at the code before the proof, and it waits for ever. `nonce`: wants one in each proof, and then
    binds.
    """

    code_first: bool = False
    nonce: str = ""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self._answer(Request(environ))(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if request.path == "/.well-known/oauth-authorization-server":
            names = ("device_authorization", "token", "introspection", "userinfo")
            endpoints = {f"{name}_endpoint": f"{URL}/{name}" for name in names}
            algorithms = {"dpop_signing_alg_values_supported": ["HS256", "ES256"]}
            return Response(json_body={"issuer": URL, **endpoints, **algorithms})
        if request.path == "/device_authorization":
            codes = {"device_code": secrets.token_hex(), "user_code": secrets.token_hex(4)}
            return Response(json_body={**codes, "verification_uri": f"{URL}/device", "expires_in": 600, "interval": 1})
        if request.path == "/token":
            return self._token(request)
        return Response(json_body={"active": True})

    def _token(self, request: Request) -> Response:
        if self.code_first:
            return Response(json_body={"error": "authorization_pending"}, status=400)
        if self.nonce and self._nonce_of(request.headers.get("DPoP", "")) != self.nonce:
            headers = {"DPoP-Nonce": self.nonce}
            return Response(json_body={"error": "use_dpop_nonce"}, status=400, headers=headers)
        tokens = {"access_token": secrets.token_hex(), "refresh_token": secrets.token_hex()}
        return Response(json_body={**tokens, "token_type": "DPoP" if self.nonce else "Bearer", "expires_in": 60})

    def _nonce_of(self, proof: str) -> object:
        payload = "".join(proof.split(".")[1:2])
        with contextlib.suppress(ValueError):
            return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("nonce")
        return None
