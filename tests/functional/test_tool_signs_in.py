"""A tool asks, a person allows, the tool gets a token that opens GET /account."""

import re

import pytest

from ..factories import API, CODE, TOKEN, World


class TestAToolSignsIn:
    def test_from_code_to_account(self, world: World) -> None:
        device, person = world.device().ask(device_label="laptop"), world.person()
        assert device.poll().json["error"] == "authorization_pending"
        page = person.allow(device.user_code)
        assert "difyctl" in page.text
        answer = device.poll()
        assert answer.status_int == 200
        account = {"id": person.account.id, "email": person.account.email, "name": "Ada Person"}
        token = answer.json["access_token"]
        assert answer.json == {
            "access_token": token,
            "token": token,
            "token_type": "Bearer",
            "expires_in": 14 * 86400,
            "expires_at": answer.json["expires_at"],
            "scope": "full",
            "token_id": answer.json["token_id"],
            "subject_type": "account",
            "account": account,
            "workspaces": [],
            "default_workspace_id": None,
        }
        assert re.fullmatch(r"dfoa_[A-Za-z0-9_-]{43}[A-Za-z0-9]{6}", token)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.json["expires_at"])
        assert device.account(token).json == {
            "subject_type": "account",
            "subject_email": None,
            "subject_issuer": None,
            "account": account,
            "workspaces": [],
            "default_workspace_id": None,
        }

    def test_the_first_answer_has_all_of_rfc_8628_3_2(self, world: World) -> None:
        answer = world.device().http.post(CODE, {"client_id": "difyctl"})
        assert answer.json == {
            "device_code": answer.json["device_code"],
            "user_code": answer.json["user_code"],
            "verification_uri": "http://localhost/device",
            "verification_uri_complete": f"http://localhost/device?user_code={answer.json['user_code']}",
            "expires_in": 900,
            "interval": 5,
        }
        assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ3479]{4}-[BCDFGHJKLMNPQRSTVWXZ3479]{4}", answer.json["user_code"])
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Pragma"] == "no-cache"

    def test_both_dialects_ask_alike(self, world: World) -> None:
        http = world.device().http
        form = http.post(CODE, {"client_id": "difyctl", "device_label": "laptop"})
        json = http.post_json(CODE, {"client_id": "difyctl", "device_label": "laptop", "unknown": [1]})
        assert form.json.keys() == json.json.keys()

    def test_the_original_dialect_needs_no_grant_type(self, world: World) -> None:
        device = world.device().ask()
        assert device.poll_original().json["error"] == "authorization_pending"
        world.person().allow(device.user_code)
        answer = device.poll_original()
        assert answer.status_int == 200
        assert answer.json["token"].startswith("dfoa_")

    @pytest.mark.parametrize("scope", ["", "full", "openid profile email offline_access", "full openid"])
    def test_scopes_that_stock_clients_add_are_ignored(self, world: World, scope: str) -> None:
        device = world.device().ask(scope=scope)
        world.person().allow(device.user_code)
        assert device.poll().json["scope"] == "full"

    def test_the_answer_tells_the_granted_scope(self, world: World) -> None:
        device = world.device().ask(scope="apps:run apps:read:permitted-external")
        world.person().allow(device.user_code)
        assert device.poll().json["scope"] == "apps:run"

    def test_workspaces_come_in_the_order_they_were_joined(self, world: World) -> None:
        person, accounts = world.person(), world.services.accounts
        first, second = accounts.add_workspace("Second in the alphabet"), accounts.add_workspace("First of all")
        accounts.join_workspace(first, person.account.email, "owner")
        accounts.join_workspace("First of all", person.account.email, "member")
        device = world.device().ask()
        person.allow(device.user_code)
        answer = device.poll().json
        assert answer["workspaces"] == [
            {"id": first, "name": "Second in the alphabet", "role": "owner"},
            {"id": second, "name": "First of all", "role": "member"},
        ]
        assert answer["default_workspace_id"] == first

    def test_the_metadata_leads_to_the_endpoints(self, world: World) -> None:
        http = world.device().http
        document = http.get("/.well-known/oauth-authorization-server").json
        assert document == http.get("/.well-known/openid-configuration").json
        assert document["issuer"] == "http://localhost"
        assert document["device_authorization_endpoint"] == f"http://localhost{CODE}"
        assert document["token_endpoint"] == f"http://localhost{TOKEN}"
        assert document["grant_types_supported"] == ["urn:ietf:params:oauth:grant-type:device_code"]
        assert "none" in document["token_endpoint_auth_methods_supported"]
        assert document["response_types_supported"]
        assert "full" in document["scopes_supported"]

    def test_basic_with_an_empty_password_names_a_public_client(self, world: World) -> None:
        device = world.device()
        device.http.authorization = ("Basic", ("difyctl", ""))
        device.answer = device.http.post(CODE, {}, status=200).json
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device.device_code}
        assert device.http.post(TOKEN, form, status=400).json["error"] == "authorization_pending"

    @pytest.mark.parametrize(
        "body",
        [
            "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=difyctl&device_code={}",
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&client_id=difyctl&device_code={}&x=",
            "client_id=difyctl&device_code={}&scope=&grant_type=urn:ietf:params:oauth:grant-type:device_code",
        ],
    )
    def test_forms_as_stock_clients_write_them(self, world: World, body: str) -> None:
        device = world.device().ask()
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8", "Accept": "*/*"}
        answer = device.http.post(TOKEN, body.format(device.device_code), headers=headers, status=400)
        assert answer.json["error"] == "authorization_pending"
        assert "WWW-Authenticate" not in answer.headers

    @pytest.mark.parametrize("media_type", ["Application/X-WWW-Form-Urlencoded", "APPLICATION/X-WWW-FORM-URLENCODED"])
    def test_the_case_of_a_media_type_does_not_count(self, world: World, media_type: str) -> None:
        world.device().http.post(CODE, "client_id=difyctl", headers={"Content-Type": media_type}, status=200)

    def test_a_token_of_nobody_opens_nothing(self, world: World) -> None:
        device = world.device()
        for token in ("dfoa_nonsense", "x", "dfoa_" + "A" * 49, "é"):
            answer = device.http.get(
                f"{API}/account", headers={"Authorization": f"Bearer {token}".encode().decode("latin-1")}, status=401
            )
            assert answer.json["error"] == "invalid_token"
            assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="oauthdevice", error="invalid_token"')
        answer = device.http.get(f"{API}/account", status=401)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="oauthdevice"'
