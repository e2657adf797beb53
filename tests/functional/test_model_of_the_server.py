"""Any order of events over the whole server and real stores, beside a model that says what must come of each.

People with browsers, devices that poll, an administrator, time, faults of the stores and deaths of the process.
`make model` tells more stories than every run of the tests: see docs/testing.md.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, invariant, precondition, rule
from webtest import TestResponse

from oauthdevice.domain.errors import NoSuchSession
from oauthdevice.domain.token_endpoint import DEVICE_GRANT, REFRESH_GRANT

from ..factories import API, APPROVE, CODE, DENY, LOOKUP, TOKEN, keys_in
from ..moments import Span
from .faulty_stores import Fault, Faults, faults, install
from .model_machine import HERE, INI, OPTIONAL, SCOPES, SERVERS, WatchedMachine, outcome
from .model_of_the_server import LIFETIME_SECONDS, Code, Person
from .model_of_the_server import TOKEN as THE_TOKEN
from .watched_server import WITHOUT_TTL, WatchedServer

# Every run of the tests tells the same ones; whoever asks for a number is told others each time.
STORIES = int(os.environ.get("MODEL_STORIES", "0"))
STEPS = 50
THERE, ELSEWHERE = "203.0.113.9", "198.51.100.4"
CODES_MAX = 5
DECIDED = {"approve": "approved", "deny": "denied"}
TICKED = st.sets(st.sampled_from(sorted(OPTIONAL)))


@pytest.fixture(scope="module", autouse=True)
def server(migrated_postgresql: str, redis_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    ini, broken = tmp_path_factory.mktemp("model") / "server.ini", Faults()
    ini.write_text(INI)
    with pytest.MonkeyPatch.context() as patch:
        install(broken, patch)
        SERVERS.append(WatchedServer(migrated_postgresql, redis_server.url, ini, broken))
        yield
        SERVERS.pop().close()


class Server(WatchedMachine):
    """Two people, any number of devices."""

    codes = Bundle("codes")
    person = st.integers(0, 1)

    # What devices do

    @precondition(lambda self: len(self.model.codes) < CODES_MAX)
    @rule(
        target=codes,
        client=st.sampled_from(sorted(SCOPES)),
        label=st.sampled_from([None, None, "laptop"]),
        network=st.sampled_from([HERE, THERE, THERE, ELSEWHERE]),
        scopes=st.sampled_from(["", "apps:run apps:read", "apps:run mail:send", "apps:run apps:read mail:send"]),
    )
    def ask(self, client: str, label: str | None, network: str, scopes: str) -> Any:
        form = {"client_id": client, "scope": scopes, **({"device_label": label} if label else {})}
        answer, now = self.call(lambda: self.post(CODE, network, **form))
        if answer is None:
            # Perhaps there is a code of which nobody was told; the next call meets no fault.
            self.find(now)
            answer, now = self.call(lambda: self.post(CODE, network, **form))
        assert answer.status_int == 200
        record = self.server.record(answer.json["device_code"])
        assert record is not None
        default = "full" if client == "tool" else SCOPES[client]
        wanted = frozenset((scopes or default).split()) & frozenset(SCOPES[client].split())
        code = Code(record.request.id, client, label, network, wanted, now)
        self.model.codes.append(code)
        self.model.told("started", code)
        self.user_codes[code] = (answer.json["user_code"], answer.json["device_code"])
        return code

    @rule(code=codes)
    def poll(self, code: Code) -> None:
        form = {"grant_type": DEVICE_GRANT, "client_id": code.client, "device_code": self.user_codes[code][1]}
        answer, now = self.call(lambda: self.post(TOKEN, code.network, **form))
        if answer is None:
            rows = ("redeemed", "rejected", "revoked", "replayed")
            self.find(now, code, rows, decides=True, ends=lambda one: self.model.is_replaced(one, code))
            return
        told = THE_TOKEN if answer.status_int == 200 else answer.json["error"]
        assert told in self.model.answers_to_poll(code, now, outage=self.struck), (told, code.seen)
        self.model.polled(code, told, now)
        if told == THE_TOKEN:
            self.receive(code, answer.json, now)
        if told in ("authorization_pending", "slow_down"):
            assert answer.json["interval"] == code.seen.interval

    @precondition(lambda self: len(self.model.codes) < CODES_MAX)
    @rule(
        target=codes,
        number=person,
        label=st.sampled_from([None, "laptop"]),
        network=st.sampled_from([HERE, THERE]),
        # As many calls as a redemption makes.
        fault=st.none() | faults(5),
    )
    def sign_in_on_a_device(self, number: int, label: str | None, network: str, fault: Fault | None) -> Code:
        code = self.ask("tool", label, network, "apps:run apps:read")
        self.decide(code, number, "approve")
        if fault is not None:
            self.server.faults.await_call(fault)
        self.poll(code)
        return code

    @rule(code=codes, number=person)
    def approve_and_fetch(self, code: Code, number: int) -> None:
        self.decide(code, number, "approve")
        self.poll(code)

    @rule(code=codes, times=st.integers(2, 6))
    def hurry(self, code: Code, times: int) -> None:
        for _ in range(times):
            self.poll(code)

    @rule(code=codes)
    def poll_on_time(self, code: Code) -> None:
        self.server.pass_seconds(code.seen.interval)
        assert "slow_down" not in self.model.answers_to_poll(code, Span(self.server.clock(), self.server.clock()))
        self.poll(code)

    @rule(code=codes)
    def poll_when_it_has_expired(self, code: Code) -> None:
        passed = (self.server.clock() - code.asked.earliest).total_seconds()
        self.server.pass_seconds(max(0, LIFETIME_SECONDS - passed))
        self.poll(code)

    @rule(code=codes)
    def poll_as_another(self, code: Code) -> None:
        other = next(one for one in SCOPES if one != code.client)
        form = {"grant_type": DEVICE_GRANT, "client_id": other, "device_code": self.user_codes[code][1]}
        answer, now = self.call(lambda: self.post(TOKEN, code.network, **form))
        if answer is None:
            self.find(now)
        else:
            assert (answer.status_int, answer.json["error"]) == (400, "invalid_grant")

    @rule(code=codes, back=st.sampled_from([0, 0, 0, 1, 2]), narrower=st.booleans())
    def refresh(self, code: Code, back: int, narrower: bool) -> None:
        """With the newest refresh token that the device holds, or with an older one."""
        held = sorted(code.refresh)[-1 - back :]
        if not held:
            return
        renewals, scope = held[0], "apps:run" if narrower and "apps:run" in code.seen.granted else ""
        form = {"grant_type": REFRESH_GRANT, "client_id": code.client, "refresh_token": code.refresh[renewals]}
        answer, now = self.call(lambda: self.post(TOKEN, code.network, **form, scope=scope))
        if answer is None:
            self.find(now, code, ("refreshed", "reuse_detected"))
            return
        told = THE_TOKEN if answer.status_int == 200 else answer.json["error"]
        assert told in self.model.answers_to_refresh(code, renewals, now), (told, code.seen)
        self.model.refreshed(code, renewals, told, now)
        if told == THE_TOKEN:
            granted = frozenset(answer.json["scope"].split())
            assert granted <= code.seen.granted
            self.model.renewed(code, renewals, answer.json, granted)

    @rule(code=codes, seconds=st.sampled_from([0, 20, 29, 30, 31]))
    def refresh_and_bring_the_old_token_again(self, code: Code, seconds: int) -> None:
        self.refresh(code, 0, narrower=False)
        self.server.pass_seconds(seconds)
        self.refresh(code, 1, narrower=False)

    @rule(code=codes, how=st.sampled_from(["sign out", "access token", "refresh token"]))
    def give_back(self, code: Code, how: str) -> None:
        if not code.access:
            return
        now = Span(self.server.clock(), self.server.clock())
        access_token = list(code.access)[-1]
        refresh_token = code.refresh[max(code.refresh)]
        if how == "sign out":
            headers = {"Authorization": f"Bearer {access_token}"}
            browser, path = self.server.world.browser(HERE), f"{API}/account/sessions/self"
            answer, now = self.call(lambda: browser.delete(path, headers=headers, status="*"))
        else:
            token = access_token if how == "access token" else refresh_token
            answer, now = self.call(
                lambda: self.post(f"{API}/oauth/revoke", code.network, client_id=code.client, token=token)
            )
        if answer is None:
            self.find(now, code, ("revoked",))
        elif how == "sign out":
            assert (answer.status_int == 200) in self.model.opens(code, access_token, now)
            if answer.status_int == 200:
                self.model.end(code, "revoked")
        else:
            assert answer.status_int == 200
            self.given_back(code, how, access_token)

    def given_back(self, code: Code, how: str, access_token: str) -> None:
        """A token that has expired may be known still, or be gone: the answer does not tell, so the store is asked."""
        held = how == "refresh token" or code.access[access_token].renewals >= code.seen.renewals - 1
        if code.seen.live and held and self.server.sessions()[code.id][0] is False:
            self.model.end(code, "revoked")

    # What people do

    @rule(code=codes, number=person)
    def open(self, code: Code, number: int) -> None:
        browser = self.browsers[number]
        browser.sign_in()
        person, user_code = browser.person, self.user_codes[code][0]
        if not person.signed_in:
            return

        def type_it() -> TestResponse:
            answer = browser.post("/device", user_code=user_code)
            return browser.http.get("/device/consent", status="*") if answer.status_int == 303 else answer

        answer, now = self.call(type_it)
        if answer is None:
            self.find(now, code, ("denied",), person=person, decides=True)
            return
        refusals = self.model.refusals(code, person, now)
        assert answer.status_int in {{"": 200, "expired_or_unknown": 404}.get(one, 409) for one in refusals}
        if answer.status_int == 200:
            code.change(claimed_by=person.key)

    @rule(code=codes, number=person, decision=st.sampled_from(["approve", "approve", "deny"]))
    def decide(self, code: Code, number: int, decision: str) -> None:
        browser = self.browsers[number]
        browser.sign_in()
        path = {"approve": APPROVE, "deny": DENY}[decision]
        answer, now = self.call(lambda: browser.post(path, user_code=self.user_codes[code][0]))
        told = answer and ("" if answer.status_int == 200 else answer.json["error"])
        self.decided(code, browser.person, decision, None, told, now)

    @rule(code=codes, number=person, decision=st.sampled_from(["approve", "approve", "deny"]), ticked=TICKED)
    def decide_on_the_page(self, code: Code, number: int, decision: str, ticked: set[str]) -> None:
        browser = self.browsers[number]
        browser.sign_in()
        form = {"user_code": self.user_codes[code][0], "decision": decision, "scope": sorted(ticked)}
        answer, now = self.call(lambda: browser.post("/device/consent", **form))
        told = answer and outcome(answer)
        self.decided(code, browser.person, decision, frozenset(ticked), told, now)

    def decided(
        self, code: Code, person: Person, decision: str, ticked: frozenset[str] | None, told: str | None, now: Span
    ) -> None:
        granted = self.model.granted(code, ticked) if decision == "approve" else frozenset()
        if told is None:
            before = code.seen.state
            self.find(now, code, ("approved", "denied"), person=person, decides=True)
            if before == "pending" and code.seen.state == "approved":
                assert (decision, code.seen.granted) == ("approve", granted)
            return
        if not person.signed_in:
            assert told == "login_required"
            return
        refusals = self.model.refusals(code, person, now)
        if ticked is not None and decision == "approve" and code.seen.claimed_by is None and "" in refusals:
            refusals = (refusals - {""}) | {"not opened"}
        assert told in refusals, (told, refusals, code.seen)
        if told == "":
            self.model.decided(code, person, DECIDED[decision], granted)

    @rule(code=codes, number=person)
    def report(self, code: Code, number: int) -> None:
        browser = self.browsers[number]
        browser.sign_in()
        person = browser.person
        ending = self.model.ended_by_report(code, person, Span(self.server.clock(), self.server.clock()))
        answer, now = self.call(lambda: browser.post("/device/report", user_code=self.user_codes[code][0]))
        if answer is None:
            self.find(now, code, ("reported", "denied", "revoked"), decides=True, ends=lambda one: one in ending)
            if keys_in(self.server.world.redis, f"*:burned:{code.network}"):
                self.model.burned[code.network] = now
            return
        told = outcome(answer)
        assert told in self.model.answers_to_report(code, person, now), (told, code.seen)
        if told == "":
            self.model.disowned(code, person, HERE, now)

    @rule(code=codes)
    def look_up(self, code: Code) -> None:
        answer, now = self.call(lambda: self.post(LOOKUP, HERE, user_code=self.user_codes[code][0].lower()))
        if answer is None:
            self.find(now, code, ("denied",), decides=True)
            return
        found = self.model.find(code, now)
        assert answer.json["valid"] in {one and code.seen.state == "pending" for one in found}

    # What an administrator does

    @rule(code=codes)
    def revoke(self, code: Code) -> None:
        def end() -> bool:
            try:
                self.server.world.services.registry.end(code.id)
            except NoSuchSession:
                return False
            return True

        ended, now = self.call(end)
        if ended is None:
            self.find(now, code, ("revoked",))
            return
        assert ended is bool(code.seen.live)
        self.model.end(code, "revoked")

    @rule(number=person)
    def deactivate_and_perhaps_let_in_again(self, number: int) -> None:
        person, email = self.browsers[number].person, self.browsers[number].account.email
        accounts, active = self.server.world.services.accounts, not person.active
        theirs = [one for one in self.model.codes if one.seen.live and one.seen.claimed_by == person.key]
        answer, now = self.call(lambda: accounts.set_active(email, active) or "done")
        person.active = self.server.world.services.accounts.named(email).active
        if not person.active:
            person.signed_in = False
        if answer is None:
            self.find(now, None, ("revoked",), ends=lambda one: one in theirs)
            assert person.active or not any(one.seen.live for one in theirs)
            return
        assert person.active is active
        for code in theirs:
            self.model.end(code, "revoked")

    @rule()
    def settle(self) -> None:
        assert self.model.wrong_rows(self.server.rows()) == []
        assert not self.server.world.redis.exists(WITHOUT_TTL)

    # What happens

    @rule(seconds=st.integers(1, 10))
    def pass_time(self, seconds: int) -> None:
        self.server.pass_seconds(seconds)

    @rule(seconds=st.sampled_from([11, 31, 60, 120, 300, 600, 900]))
    def pass_long_time(self, seconds: int) -> None:
        self.server.pass_seconds(seconds)

    @rule(fault=faults(13))
    def break_the_next_call(self, fault: Fault) -> None:
        self.server.faults.await_call(fault)

    # What holds after every step

    @invariant()
    def the_stores_hold_what_the_model_says(self) -> None:
        sessions = self.server.sessions()
        for code in self.model.codes:
            found = self.server.seen(self.user_codes[code][1], code.seen, sessions.get(code.id))
            assert found == code.seen
            assert found.state == "denied" or found.granted <= code.wanted
            assert found.state in ("approved", "redeeming", "consumed", "denied") or found.live is None
        # Of the session of a code that nobody was told there is none.
        assert sessions.keys() <= {code.id for code in self.model.codes}
        assert all(access_tokens <= 2 for _, _, access_tokens in sessions.values())

    @invariant()
    def a_token_opens_what_the_model_says(self) -> None:
        """Those that live and those that have just ended; all of them at the end."""
        live = {code for code in self.model.codes if code.seen.live}
        self.try_tokens(live | self.lived)
        self.lived = live

    def try_tokens(self, codes: Iterable[Code]) -> None:
        for code in codes:
            for token, access in code.access.items():
                before = self.server.clock()
                bearer = self.server.world.services.bearers.inspect(token)
                assert (bearer is not None) in self.model.opens(code, token, Span(before, self.server.clock()))
                assert bearer is None or (bearer.session.id, bearer.scopes) == (code.id, access.scopes)

    @invariant()
    def a_device_with_a_name_has_one_session(self) -> None:
        held = [(one.client, one.label, one.seen.claimed_by) for one in self.model.codes if one.label and one.seen.live]
        assert len(held) == len(set(held))

    @invariant()
    def nothing_stays_in_redis_for_ever(self) -> None:
        assert set(self.server.without_ttl()) <= {WITHOUT_TTL}

    def teardown(self) -> None:
        self.server.faults.forget()
        self.try_tokens(self.model.codes)
        self.settle()


TestTheServer = Server.TestCase
TestTheServer.settings = settings(
    max_examples=STORIES or 235,
    stateful_step_count=STEPS,
    deadline=None,
    derandomize=not STORIES,
    database=None,
    suppress_health_check=list(HealthCheck),
)
