"""Every page and state: how to get there, on what server, and the heading that it has."""

from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Locator

from oauthdevice.domain.sessions import ALL, Selection
from oauthdevice.domain.undo import UndoSeal

from ..factories import PASSWORD, Device, World
from .conftest import UNUSED_CODE, Visitor, too_many_tries

CONSENT = "Allow difyctl to use your account?"
APPROVED = "You are done"
DENIED = "You denied difyctl"


def prefilled(live: World, visitor: Visitor) -> None:
    visitor.page.goto(live.device().ask().answer["verification_uri_complete"])


def by_a_link(live: World, visitor: Visitor) -> None:
    """From a page of no site of ours."""
    link = live.device().ask().answer["verification_uri_complete"]
    visitor.page.goto(f"data:text/html,<a href='{link}'>Your colleague needs you</a>")
    visitor.link("Your colleague needs you").click()


def used_code(live: World, visitor: Visitor) -> None:
    device = live.device().ask()
    live.person().allow(device.user_code)
    visitor.enter(device.user_code)


def sign_in_with_a_code(live: World, visitor: Visitor) -> None:
    visitor.enter(live.device().ask().user_code)


def failed_sign_in(live: World, visitor: Visitor) -> None:
    visitor.page.goto("/login")
    visitor.sign_in("not the password")


def consent(live: World, visitor: Visitor) -> None:
    visitor.open(live.device(address="127.0.0.1").ask(device_label="build server").user_code)


def consent_of_a_long_name_elsewhere(live: World, visitor: Visitor) -> None:
    live.services.accounts.add(f"{'a' * 64}@example.com", "A" * 100, PASSWORD)
    visitor.email = f"{'a' * 64}@example.com"
    asked = live.device(address="2001:db8:1111:2222:3333:4444:5555:6666")
    visitor.open(asked.ask(device_label="W" * 128, scope="apps:run workspace:read workspace:write").user_code)


def approved(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    visitor.button("Allow").click()


def denied(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    visitor.button("Deny").click()


def expired_on_the_way(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    live.clock.pass_seconds(901)
    visitor.button("Allow").click()


def decided_elsewhere(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    elsewhere = live.person(visitor.email).sign_in()
    elsewhere.decide(visitor.page.locator(".shown").inner_text(), "deny")
    visitor.button("Allow").click()


def parts(live: World, visitor: Visitor) -> None:
    visitor.open(live.device(address="127.0.0.1").ask(scope="apps:run mail:send").user_code)


def nothing_ticked(live: World, visitor: Visitor) -> None:
    parts(live, visitor)
    for box in visitor.page.get_by_role("checkbox").all():
        box.uncheck()
    visitor.button("Allow").click()


def cannot_give(live: World, visitor: Visitor) -> None:
    visitor.open(live.device(address="127.0.0.1").ask(scope="guests:only").user_code)


def claimed(live: World, visitor: Visitor) -> None:
    device = live.device().ask()
    live.person().open(device.user_code)
    visitor.open(device.user_code)


def session_lost(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    visitor.page.context.clear_cookies()
    visitor.button("Allow").click()


def sign_out(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    visitor.link("Not you? Sign out").click()


def let_in(live: World, visitor: Visitor, **asked: str) -> None:
    """A device of the visitor's, which has its token."""
    device = live.device(address="127.0.0.1").ask(**asked)
    account = next(one for one in live.services.accounts.all() if one.email == visitor.email)
    live.services.approvals.approve(device.user_code, account, "127.0.0.1")
    device.poll()


def no_devices(_: World, visitor: Visitor) -> None:
    visitor.page.goto("/devices")
    visitor.sign_in()


def devices(live: World, visitor: Visitor) -> None:
    for label in ("laptop", "W" * 128, ""):
        let_in(live, visitor, **({"device_label": label} if label else {}))
    no_devices(live, visitor)


def device(live: World, visitor: Visitor) -> None:
    devices(live, visitor)
    visitor.page.get_by_role("link", name="laptop").click()


def device_of_a_long_name(live: World, visitor: Visitor) -> None:
    devices(live, visitor)
    visitor.page.get_by_role("link", name="WWWW").click()


def badly_named_device(live: World, visitor: Visitor) -> None:
    device(live, visitor)
    visitor.page.get_by_label("Your name for it").evaluate("one => { one.value = '\\u202e' }")
    visitor.button("Save the name").click()


def ended_device(live: World, visitor: Visitor) -> None:
    device(live, visitor)
    visitor.button("End this device").click()


def undo(live: World, visitor: Visitor, days: int = 0) -> None:
    let_in(live, visitor, device_label="laptop")
    (session,) = live.services.registry.live(Selection(email=visitor.email))
    token = UndoSeal(live.settings.secrets, live.clock).seal(session)
    live.clock.pass_seconds(days * 86_400)
    visitor.page.goto(f"/devices/undo?token={token}")


def undone(live: World, visitor: Visitor) -> None:
    undo(live, visitor)
    visitor.button("End this device").click()


def undone_before(live: World, visitor: Visitor) -> None:
    undo(live, visitor)
    live.services.registry.end_all(ALL)
    visitor.button("End this device").click()


def number_field(visitor: Visitor) -> Locator:
    return visitor.page.get_by_label("Number that your device shows", exact=True)


def wrong(device: Device) -> str:
    return "11" if device.number != "11" else "12"


def asked(live: World, visitor: Visitor) -> Device:
    device = live.device().ask(device_label="build server")
    visitor.open(device.user_code)
    visitor.sees(CONSENT)
    return device


def guessed(live: World, visitor: Visitor, times: int) -> None:
    device = asked(live, visitor)
    for _ in range(times):
        number_field(visitor).fill(wrong(device))
        visitor.button("Allow").click()


def again(live: World, visitor: Visitor) -> None:
    asked(live, visitor)
    visitor.link("Sign in again instead").click()


def signed_in_again(live: World, visitor: Visitor) -> None:
    again(live, visitor)
    visitor.sign_in()


def reported(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    visitor.button("I did not start this: report it").click()


def passkeys(_: World, visitor: Visitor) -> None:
    visitor.page.goto("/passkeys")
    visitor.sign_in()


# How to get to every page and state, and the heading that it has.
STATES: dict[str, tuple[Callable[[World, Visitor], object], str]] = {
    "enter code": (lambda _, visitor: visitor.page.goto("/device"), "Enter the code from your device"),
    "prefilled": (prefilled, "Enter the code from your device"),
    "by a link of another site": (by_a_link, "Enter the code from your device"),
    "no code": (lambda _, visitor: visitor.enter(""), "Enter the code from your device"),
    "wrong code": (lambda _, visitor: visitor.enter(UNUSED_CODE), "Enter the code from your device"),
    "misread code": (lambda _, visitor: visitor.enter("WDJB-MJH0"), "Enter the code from your device"),
    "used code": (used_code, "Enter the code from your device"),
    "sign in": (lambda _, visitor: visitor.page.goto("/login"), "Sign in"),
    "sign in with a code": (sign_in_with_a_code, "Sign in"),
    "failed sign-in": (failed_sign_in, "Sign in"),
    "consent": (consent, CONSENT),
    "consent, long and from elsewhere": (consent_of_a_long_name_elsewhere, CONSENT),
    "consent, in parts": (parts, CONSENT),
    "nothing ticked": (nothing_ticked, "Nothing is left to allow"),
    "cannot give": (cannot_give, "Your account cannot give what this app asks for"),
    "approved": (approved, APPROVED),
    "denied": (denied, DENIED),
    "expired on the way": (expired_on_the_way, "No device is waiting with this code"),
    "decided elsewhere": (decided_elsewhere, "This code was used already"),
    "claimed": (claimed, "Another account has opened this code"),
    "session lost": (session_lost, "This page was open too long"),
    "too many tries": (too_many_tries, "Too many tries"),
    "sign out": (sign_out, "Sign out?"),
    "sign out, nobody signed in": (lambda _, visitor: visitor.page.goto("/logout"), "You are not signed in"),
    "no devices": (no_devices, "Your devices"),
    "devices": (devices, "Your devices"),
    "device": (device, "Calls itself laptop"),
    "device of a long name": (device_of_a_long_name, f"Calls itself {'W' * 128}"),
    "badly named device": (badly_named_device, "Calls itself laptop"),
    "ended device": (ended_device, "Your devices"),
    "undo": (undo, "End this device?"),
    "undone": (undone, "The device is signed out"),
    "undo, expired": (lambda live, visitor: undo(live, visitor, days=8), "This link has expired"),
    "undo, broken": (lambda _, visitor: visitor.page.goto("/devices/undo"), "This link does not work"),
    "undone before": (undone_before, "This device was ended already"),
    "number": (asked, CONSENT),
    "no number": (lambda live, visitor: (asked(live, visitor), visitor.button("Allow").click()), CONSENT),
    "wrong number": (lambda live, visitor: guessed(live, visitor, 1), CONSENT),
    "three wrong numbers": (lambda live, visitor: guessed(live, visitor, 3), "difyctl was denied"),
    "sign in again": (again, "Sign in again"),
    "signed in again": (signed_in_again, CONSENT),
    "blocked": (asked, CONSENT),
    "reported": (reported, "Thank you, it is reported"),
    "passkeys": (passkeys, "Passkeys"),
    "sign in at a company": (sign_in_with_a_code, "Sign in"),
    "no such page": (lambda _, visitor: visitor.page.goto("/nowhere"), "There is no such page"),
}
COMPANIES = "".join(
    f"[sso:{name}]\nissuer = http://127.0.0.1:1/{name}\nclient_id = us\nemail_domains = {name}.example\n"
    for name in ("corp", "partner")
)
PARTS = """
[client:difyctl]
name = difyctl
scopes = apps:run mail:send guests:only
[scope:apps:run]
text = Run apps in your name
optional = on
[scope:mail:send]
text = Send mail in your name
optional = on
[scope:guests:only]
text = See what is shared with guests
subjects = external_sso
"""
IN_PARTS = {"ini": PARTS}
NUMBER = {"other_network": "confirm"}
# What the server of a state differs in; `ini` is the text of its file. A browser has passkeys for a name alone.
OPTIONS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(
        ("number", "no number", "wrong number", "three wrong numbers", "sign in again", "signed in again"), NUMBER
    ),
    **dict.fromkeys(("consent, in parts", "nothing ticked", "cannot give"), IN_PARTS),
    "blocked": {"other_network": "block"},
    "passkeys": {"host": "localhost"},
    "sign in at a company": {"edition": "enterprise", "ini": COMPANIES},
}


def options_of(state: str, folder: Path) -> dict[str, str]:
    """What the server of a state is made with; its file lies in `folder`."""
    options = dict(OPTIONS.get(state, {}))
    if "ini" in options:
        path = folder / "server.ini"
        path.write_text(options.pop("ini"), "utf-8")
        options["ini_file"] = str(path)
    return options
