"""How long an answer takes tells nothing of a secret: secrets are compared in constant time, a sign-in takes as long
with an e-mail of nobody.

Time itself is too coarse to test. What is tested: which function compares, and that it alone decides.
"""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from oauthdevice.domain import clients, other_network, sso
from oauthdevice.identity_providers import broker as broker_module

from ..conftest import WorldMaker
from ..factories import API, APPROVE, PASSWORD, SSO_COMPLETE, Stranger, World
from ..scripted_providers import ScriptedBroker, ScriptedProvider
from .test_broker_signs_in import Corp
from .test_stranger_is_attacked import assert_refused

SECRET = "a client's own long secret"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """What is compared in constant time from now on. Each comparison finds a difference."""
    seen: list[tuple[Any, Any]] = []
    for module in (clients, other_network, sso, broker_module):
        assert module.hmac is hmac
    monkeypatch.setattr(hmac, "compare_digest", lambda *texts: bool(seen.append(texts)))
    return seen


def test_the_secret_of_a_client(make: WorldMaker, tmp_path: Path, compared: list[tuple[Any, Any]]) -> None:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    ini = tmp_path / "clients.ini"
    ini.write_text(f"[client:api]\nname = API\nscopes = full\ndevice_flow = off\nsecret_sha256 = {digest}\n", "utf-8")
    form = {"client_id": "api", "client_secret": SECRET, "token": "dfoa_x"}
    answer = make(ini_file=str(ini)).browser().post(f"{API}/oauth/introspect", form, status=401)
    assert answer.json["error"] == "invalid_client"
    assert compared == [(digest, digest)]


def test_the_browser_that_began_a_sign_in_elsewhere(
    corp: World, provider: ScriptedProvider, compared: list[tuple[Any, Any]]
) -> None:
    ada = Stranger(corp)
    callback = provider.sign_in(ada.leave(corp.device().ask().user_code))
    assert_refused(ada.come_back(callback))
    ((held, brought),) = compared
    assert held == brought


def test_the_nonce_of_an_assertion(
    make: WorldMaker, tmp_path: Path, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Corp(make, tmp_path, broker).start()
    ada = Stranger(world)
    ada.leave(world.device().ask().user_code)
    seen: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest
    nonce = broker.states[-1]["nonce"].encode()

    def comparing(one: Any, other: Any) -> bool:
        if one != nonce:
            # That of the browser, before.
            return compare(one, other)
        return bool(seen.append((one, other)))

    monkeypatch.setattr(hmac, "compare_digest", comparing)
    assert_refused(ada.come_back(f"{SSO_COMPLETE}?sso_assertion={broker.assertion()}"))
    assert seen == [(nonce, nonce)]


def test_the_number_that_confirms(make: WorldMaker, tmp_path: Path, compared: list[tuple[Any, Any]]) -> None:
    ini = tmp_path / "confirm.ini"
    ini.write_text("[client:difyctl]\nname = difyctl\nscopes = full\nother_network = confirm\n", "utf-8")
    world = make(ini_file=str(ini))
    device, person = world.device(address="198.51.100.9").ask(), world.person().sign_in()
    number = device.number
    answer = person.post(APPROVE, device.user_code, confirmation_number=number)
    assert (answer.status_int, answer.json["error"]) == (403, "confirmation_failed")
    assert (number.encode(), number.encode()) in compared


def test_an_email_of_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password check costs some 90 ms: without one, an answer says that nobody has this e-mail."""
    person, locked, checked = world.person(), world.person(), []
    world.services.accounts.set_active(locked.account.email, False)
    verify = PasswordHasher.verify

    def verifying(hasher: PasswordHasher, stored: str, password: str) -> bool:
        checked.append(stored.rpartition("$")[0].rpartition("$")[0])
        return verify(hasher, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", verifying)
    told = set()
    tries = [
        (person.account.email, "wrong password"),
        (locked.account.email, PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("\x00", PASSWORD),
    ]
    for email, password in tries:
        form = world.browser().get("/login").form
        form["email"], form["password"] = email, password
        told.add(form.submit(status=401).html.find(class_="problem").get_text())
    # One check each, at the same cost, and one answer.
    assert len(checked) == len(tries)
    assert len(set(checked)) == len(told) == 1
