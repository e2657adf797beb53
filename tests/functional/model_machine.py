"""How the machine of `test_model_of_the_server` makes a step: by people with browsers, perhaps with a fault."""

import re
from collections.abc import Callable
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from webtest import TestApp, TestResponse

from oauthdevice.domain.errors import StoreUnavailable

from ..factories import PASSWORD
from ..moments import Span
from .faulty_stores import ProcessDied
from .model_of_the_server import Code, Model, Person
from .watched_server import WatchedServer

HERE = "192.0.2.7"
OPTIONAL = frozenset({"apps:read", "mail:send"})
SCOPES = {"tool": "full apps:run apps:read mail:send", "narrow": "apps:run apps:read"}
INI = (
    "".join(f"[client:{name}]\nname = {name}\nscopes = {held}\nrefresh = on\n" for name, held in SCOPES.items())
    + """
[scope:full]
text = Do everything that you can do
[scope:apps:run]
text = Run apps in your name
[scope:apps:read]
text = See your apps
optional = on
[scope:mail:send]
text = Send mail in your name
optional = on
"""
)
# What machines, which hypothesis makes, are to use.
SERVERS: list[WatchedServer] = []


class Browser:
    """Of one person: its cookies outlive the process that answers."""

    def __init__(self, machine: "WatchedMachine", email: str) -> None:
        self.account = machine.server.world.services.accounts.add(email, "Ada Person", PASSWORD)
        self.person = Person(self.account.subject.key)
        self._machine = machine
        self._http = machine.server.world.browser(HERE)
        self._csrf_token = ""

    @property
    def http(self) -> TestApp:
        self._http.app = self._machine.server.world.app
        return self._http

    def post(self, path: str, **parameters: Any) -> TestResponse:
        form = {"csrf_token": self._csrf_token, **parameters}
        return self.http.post(path, form, headers={"X-CSRF-Token": self._csrf_token}, status="*")

    def sign_in(self) -> None:
        """Whoever may, is signed in now."""
        if self.person.signed_in:
            return
        self._read_csrf_token(self.http.get("/login", status=200))
        answer = self.post("/login", email=self.account.email, password=PASSWORD)
        assert answer.status_int == (303 if self.person.active else 401)
        self.person.signed_in = self.person.active
        self._read_csrf_token(self.http.get("/logout", status=200))

    def _read_csrf_token(self, page: TestResponse) -> None:
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found is not None
        self._csrf_token = found[1]


class WatchedMachine(RuleBasedStateMachine):
    """What every step is made with: two people, and a fault that the next call meets."""

    def __init__(self) -> None:
        super().__init__()
        self.server = SERVERS[-1]
        self.server.clear()
        self.browsers = [Browser(self, f"person-{number}@example.com") for number in range(2)]
        self.model = Model((one.person for one in self.browsers), OPTIONAL)
        self.user_codes: dict[Code, tuple[str, str]] = {}
        # Whether a fault struck the last call.
        self.struck = False
        # The codes whose sessions lived before this step.
        self.lived: set[Code] = set()
        self.server.faults.forget()

    # How a step is made

    def call(self, do: Callable[[], Any]) -> tuple[Any, Span]:
        """What was answered and when; None where a fault has left us without an answer."""
        before, answer, without = self.server.clock(), None, False
        with self.server.faults.met() as is_struck:
            try:
                answer = do()
            except ProcessDied:
                without = True
                self.server.die()
            except StoreUnavailable:
                without = True
            without |= isinstance(answer, TestResponse) and answer.status_int == 503
            self.struck = is_struck()
            assert self.struck or not without, "nothing was wrong, and there was no answer"
        return None if without else answer, Span(before, self.server.clock())

    def find(
        self,
        now: Span,
        about: Code | None = None,
        events: tuple[str, ...] = (),
        *,
        person: Person | None = None,
        decides: bool = False,
        ends: Callable[[Code], bool] = lambda _: False,
    ) -> None:
        """There was no answer: take over what the stores hold now, if such a step can have left it."""
        sessions = self.server.sessions()
        self.model.maybe_told([one for one in self.model.codes if one is about or ends(one)], events)
        for code in self.model.codes:
            found = self.server.seen(self.user_codes[code][1], code.seen, sessions.get(code.id))
            if code is about:
                self.model.adopt(code, found, now, person, decides=decides)
            else:
                self.model.adopt_beside(code, found, ends=ends(code))

    def post(self, path: str, address: str, **parameters: str) -> TestResponse:
        """From a device."""
        return self.server.world.browser(address).post(path, parameters, status="*")

    def receive(self, code: Code, answer: dict[str, Any], now: Span) -> None:
        """A device was given its tokens."""
        assert answer["token_id"] == code.id
        assert f"account:{answer['account']['id']}" == code.seen.claimed_by
        assert frozenset(answer["scope"].split()) == code.seen.granted
        assert code.token in (None, answer["access_token"]), "a code gives one token"
        self.model.delivered(code, answer["access_token"], answer["refresh_token"], now)


def outcome(answer: TestResponse) -> str:
    """What a page led to: "" for what was wanted, else the error."""
    if answer.status_int != 303:
        return str(answer.request.environ["oauthdevice.error"])
    path = answer.location.removeprefix("http://localhost")
    return {"/login": "login_required", "/device/consent": "not opened", "/device": "not opened"}.get(path, "")
