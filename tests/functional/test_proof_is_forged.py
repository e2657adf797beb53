"""Proofs that are none, at the address where nothing is bound to a key yet (RFC 9449 §4.3).

So what is refused here is refused for what it is. `domain/test_dpop.py` and `test_signed_proofs.py` have the rest.
"""

import http.client
import json
import secrets
from typing import Any

import pytest
from joserfc.jwk import OctKey
from webtest import TestResponse

from ..factories import CODE, TOKEN, World
from ..key_holders import KEYS, KeyHolder, base64url, signed
from .test_thief_of_a_bound_token import refused


@pytest.fixture
def tool(world: World) -> KeyHolder:
    return KeyHolder(world)


class TestAForgedProof:
    def start(self, tool: KeyHolder, proof: str) -> TestResponse:
        return tool.post(CODE, {}, proof)

    def test_signed_by_nobody(self, tool: KeyHolder) -> None:
        good = tool.proof("POST", CODE)
        _, payload, signature = good.split(".")
        header = {"typ": "dpop+jwt", "alg": "none", "jwk": tool.key.as_dict(private=False)}
        top = base64url(json.dumps(header).encode())
        for forged in (f"{top}.{payload}.", f"{top}.{payload}.{signature}", f"{good[:-8]}AAAAAAAA"):
            assert refused(self.start(tool, forged), "invalid_dpop_proof")

    def test_signed_with_a_shared_secret(self, tool: KeyHolder) -> None:
        """HS256, with a secret in the header, and with the public key as the secret (RFC 8725 §3.1)."""
        claims = {
            "jti": "x" * 22,
            "htm": "POST",
            "htu": f"http://localhost{CODE}",
            "iat": int(tool.world.clock().timestamp()),
        }
        secret = OctKey.generate_key(256)
        public = OctKey.import_key(json.dumps(tool.key.as_dict(private=False)))
        for key, shown in ((secret, secret.as_dict(private=True)), (public, tool.key.as_dict(private=False))):
            header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": shown}
            assert refused(self.start(tool, signed(key, header, claims)), "invalid_dpop_proof")

    def test_with_a_private_key_in_it(self, tool: KeyHolder) -> None:
        for alg in ("ES256", "RS256", "Ed25519"):
            other = KeyHolder(tool.world, alg=alg)
            proof = other.proof("POST", CODE, header={"jwk": other.key.as_dict(private=True)})
            assert refused(self.start(tool, proof), "invalid_dpop_proof")

    def test_with_the_key_of_somebody_else(self, tool: KeyHolder) -> None:
        proof = tool.proof("POST", CODE, header={"jwk": KEYS["RS256"].as_dict(private=False)})
        assert refused(self.start(tool, proof), "invalid_dpop_proof")
        proof = tool.proof("POST", CODE, header={"jwk": KeyHolder(tool.world).key.as_dict(private=False)})
        assert refused(self.start(tool, proof), "invalid_dpop_proof")

    @pytest.mark.parametrize(
        "header", [{"typ": "JWT"}, {"typ": None}, {"jwk": None}, {"jwk": "x"}, {"typ": 7}, {"crit": ["x"], "x": 1}]
    )
    def test_with_another_header(self, tool: KeyHolder, header: dict[str, Any]) -> None:
        assert refused(self.start(tool, tool.proof("POST", CODE, header=header)), "invalid_dpop_proof")

    @pytest.mark.parametrize(
        "claims",
        [
            {"htm": "GET"}, {"htm": "post"}, {"htm": None},
            {"htu": None}, {"htu": f"http://localhost{TOKEN}"}, {"htu": f"https://localhost{CODE}"},
            {"htu": f"http://elsewhere.example{CODE}"}, {"htu": 7}, {"htu": f"http://localhost:x{CODE}"},
            {"jti": None}, {"jti": ""}, {"jti": "x" * 257}, {"jti": 7}, {"jti": "\u00e9"},
            {"iat": None}, {"iat": "now"}, {"iat": True}, {"iat": 10**400}, {"iat": float("nan")},
        ],
    )  # fmt: skip
    def test_with_other_claims(self, tool: KeyHolder, claims: dict[str, Any]) -> None:
        assert refused(self.start(tool, tool.proof("POST", CODE, **claims)), "invalid_dpop_proof")

    @pytest.mark.parametrize("host", ["elsewhere.example", "localhost:8080"])
    def test_that_names_the_host_of_the_request(self, tool: KeyHolder, host: str) -> None:
        """It is compared with `public_url`, whatever the Host header says."""
        headers = {"DPoP": tool.proof("POST", CODE, htu=f"http://{host}{CODE}"), "Host": host}
        answer = tool.device.http.post(CODE, {"client_id": "difyctl"}, headers=headers, status="*")
        assert refused(answer, "invalid_dpop_proof")
        headers["DPoP"] = tool.proof("POST", CODE)
        assert tool.device.http.post(CODE, {"client_id": "difyctl"}, headers=headers).status_int == 200

    def test_beside_a_good_one(self, tool: KeyHolder) -> None:
        """§4.3, 1: a server joins headers of one name with a comma."""
        two = f"{tool.proof('POST', CODE)}, {tool.proof('POST', CODE)}"
        assert refused(self.start(tool, two), "invalid_dpop_proof")

    def test_beside_a_good_one_over_a_socket(self, live: World) -> None:
        """Two headers, as they come."""
        tool, form = KeyHolder(live), "client_id=difyctl"
        connection = http.client.HTTPConnection(live.settings.public_url.removeprefix("http://"), timeout=10)
        for proofs, status in ((1, 200), (2, 400)):
            connection.putrequest("POST", CODE)
            connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.putheader("Content-Length", str(len(form)))
            for _ in range(proofs):
                connection.putheader("DPoP", tool.proof("POST", CODE))
            connection.endheaders(form.encode())
            answer = connection.getresponse()
            body = json.loads(answer.read())
            assert (answer.status, body.get("error")) == (status, None if status == 200 else "invalid_dpop_proof")
        connection.close()

    @pytest.mark.parametrize("proof", ["nonsense", "a.b.c", "..", "a" * 5000, "e30.e30.e30", "WyJ4Il0.e30.AA"])
    def test_that_is_none(self, tool: KeyHolder, proof: str) -> None:
        assert refused(self.start(tool, proof), "invalid_dpop_proof")

    def test_that_is_empty(self, tool: KeyHolder) -> None:
        answer = tool.device.http.post(CODE, {"client_id": "difyctl"}, headers={"DPoP": ""}, status="*")
        assert refused(answer, "invalid_dpop_proof")

    def test_that_is_too_long(self, tool: KeyHolder) -> None:
        proof = tool.proof("POST", CODE, more=secrets.token_urlsafe(4000))
        assert "too long" in self.start(tool, proof).json["error_description"]
