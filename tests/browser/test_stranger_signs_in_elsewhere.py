"""A person without an account here signs in at the real `oidc-provider`, in a real browser, and decides."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests
from playwright.sync_api import expect
from webob import Request, Response

from oauthdevice.domain.sso import APPROVAL_SECONDS

from ..factories import API, SSO_COMPLETE, SSO_INITIATE, World
from ..ports import free_port
from ..scripted_providers import ScriptedProvider, running
from .axe import problems_in_every_light
from .conftest import EnterpriseMaker, OIDCProvider, Stranger, Watch, section
from .test_person_approves import CONSENT, DENIED, row

FAILED = "The sign-in did not work"
UNREACHABLE = "Your company's sign-in cannot be reached"
HAS_ACCOUNT = "Sign in with your account here"

StrangerMaker = Callable[..., Stranger]


@pytest.fixture
def live(make_enterprise: EnterpriseMaker, oidc_provider: OIDCProvider) -> World:
    """A server whose only identity provider is the real one."""
    return make_enterprise(section("corp", oidc_provider.issuer))


class TestAStrangerDecides:
    def test_allow_gives_the_device_a_token_that_speaks_for_them(
        self, live: World, stranger: Stranger, oidc_provider: OIDCProvider, watch: Watch
    ) -> None:
        device = live.device().ask(device_label="build server")
        stranger.open(device.user_code)
        stranger.sees(CONSENT)
        expect(stranger.page).to_have_url(f"{live.settings.public_url}/device/consent")
        expect(stranger.page.get_by_text(device.user_code, exact=True)).to_be_visible()
        whose = row(stranger.page, "Your account")
        assert "ada@corp.example" in whose
        assert oidc_provider.issuer in whose
        assert device.poll().json["error"] == "authorization_pending"
        stranger.allow()
        assert watch.posts == ["/device", "/device/consent"]
        told = device.poll().json
        external = {"subject_type": "external_sso", "subject_email": "ada@corp.example"}
        external["subject_issuer"] = oidc_provider.issuer
        assert external.items() <= told.items()
        self.use_up(live.settings.public_url + API, told["access_token"], external)

    def use_up(self, api: str, token: str, external: dict[str, str]) -> None:
        """What a client does with its token, to the end."""
        with requests.Session() as http:
            http.headers["Authorization"] = f"Bearer {token}"
            account = http.get(f"{api}/account", timeout=10)
            assert account.status_code == 200
            assert external.items() <= account.json().items()
            sessions = http.get(f"{api}/account/sessions", timeout=10).json()["data"]
            assert [one["device_label"] for one in sessions] == ["build server"]
            assert http.delete(f"{api}/account/sessions/self", timeout=10).status_code == 200
            assert http.get(f"{api}/account", timeout=10).status_code == 401

    def test_deny_tells_the_device(self, live: World, stranger: Stranger) -> None:
        device = live.device().ask()
        stranger.open(device.user_code)
        stranger.sees(CONSENT)
        stranger.button("Deny").click()
        stranger.sees(DENIED)
        assert device.poll().json["error"] == "access_denied"

    def test_a_link_to_the_sign_in_leads_to_the_decision(self, live: World, stranger: Stranger) -> None:
        device = live.device().ask()
        stranger.page.goto(f"{SSO_INITIATE}?user_code={device.user_code}")
        stranger.sign_in_there()
        stranger.allow()
        assert device.poll().json["subject_email"] == "ada@corp.example"

    def test_who_is_signed_in_there_is_not_asked_again_but_decides_again(
        self, live: World, meet: StrangerMaker
    ) -> None:
        stranger = meet()
        for sign_in in (True, False):
            device = live.device().ask()
            stranger.go_there(device.user_code)
            if sign_in:
                stranger.sign_in_there()
            stranger.sees(CONSENT)
            assert device.poll().json["error"] == "authorization_pending"
            stranger.allow()
            assert device.poll().json["subject_email"] == "ada@corp.example"

    def test_sign_out_forgets_whom_the_provider_vouched_for(self, live: World, meet: StrangerMaker) -> None:
        device, stranger = live.device().ask(), meet()
        stranger.open(device.user_code)
        stranger.sees(CONSENT)
        stranger.link("Not you? Sign out").click()
        stranger.button("Sign out").click()
        stranger.sees("Sign in")
        stranger.page.goto("/device/consent")
        stranger.sees("Enter the code from your device")
        assert device.poll().json["error"] == "authorization_pending"

    def test_who_takes_too_long_to_decide_signs_in_again(self, live: World, meet: StrangerMaker) -> None:
        device, stranger = live.device().ask(), meet()
        stranger.open(device.user_code)
        stranger.sees(CONSENT)
        live.clock.pass_seconds(APPROVAL_SECONDS + 1)
        stranger.button("Allow").click()
        stranger.sees("Your sign-in is over")
        stranger.try_again(device.user_code)
        stranger.allow()
        assert device.poll().status_int == 200


class TestTheSignInElsewhereGoesWrong:
    def test_who_cancels_there_can_try_again(self, live: World, stranger: Stranger) -> None:
        device = live.device().ask()
        stranger.go_there(device.user_code)
        stranger.sees("Sign-in")
        stranger.link("[ Cancel ]").click()
        stranger.sees("You cancelled the sign-in")
        stranger.try_again(device.user_code)
        stranger.give_password()
        stranger.link("[ Cancel ]").click()
        stranger.sees("You cancelled the sign-in")
        assert device.poll().json["error"] == "authorization_pending"
        stranger.try_again(device.user_code)
        stranger.sees("Authorize")
        stranger.button("Continue").click()
        stranger.allow()
        assert device.poll().status_int == 200

    def test_an_error_of_the_provider(self, live: World, meet: StrangerMaker, oidc_provider: OIDCProvider) -> None:
        device, stranger = live.device().ask(), meet()
        with stranger.page.expect_request(lambda one: one.url.startswith(f"{oidc_provider.issuer}/auth?")) as asked:
            stranger.go_there(device.user_code)
        state = parse_qs(urlsplit(asked.value.url).query)["state"][0]
        stranger.sees("Sign-in")
        answer = urlencode({"error": "server_error", "state": state, "iss": oidc_provider.issuer})
        stranger.page.goto(f"{SSO_COMPLETE}?{answer}")
        stranger.sees(FAILED)
        stranger.try_again(device.user_code)
        stranger.sign_in_there()
        stranger.allow()
        assert device.poll().status_int == 200

    def test_the_provider_is_down_for_a_while(
        self, live: World, stranger: Stranger, oidc_provider: OIDCProvider
    ) -> None:
        device = live.device().ask()
        stranger.enter(device.user_code)
        oidc_provider.kill()
        with stranger.page.expect_response(lambda one: "/login/sso" in one.url) as answered:
            stranger.link("Continue with Corp").click()
        stranger.sees(UNREACHABLE)
        assert answered.value.status == 502
        oidc_provider.start()
        stranger.try_again(device.user_code)
        stranger.sign_in_there()
        stranger.allow()
        assert device.poll().status_int == 200

    def test_the_provider_changes_its_keys_on_the_way(
        self, live: World, meet: StrangerMaker, oidc_provider: OIDCProvider
    ) -> None:
        for rotate in (False, True):
            device, stranger = live.device().ask(), meet()
            stranger.go_there(device.user_code)
            stranger.sees("Sign-in")
            if rotate:
                oidc_provider.rotate()
            stranger.sign_in_there()
            stranger.allow()
            assert device.poll().status_int == 200


class SlowProvider(ScriptedProvider):
    """Has a page for browsers: a link back to us."""

    def answer(self, request: Request) -> Response:
        if request.path != "/authorize":
            return super().answer(request)
        back = request.GET["redirect_uri"].removesuffix(SSO_COMPLETE) + self.sign_in(request.url)
        return Response(f'<h1>Sign-in</h1><a href="{escape(back)}">Continue</a>')


class TestTheProviderIsSlow:
    @pytest.fixture
    def provider(self) -> Iterator[ScriptedProvider]:
        with running(SlowProvider()) as one:
            yield one

    @pytest.fixture
    def live(self, make_enterprise: EnterpriseMaker, provider: ScriptedProvider) -> World:
        """A server whose only identity provider answers when a test lets it, and has a second to."""
        return make_enterprise(section("corp", provider.url), sso_timeout_seconds="1")

    def test_each_way_ends_in_a_page_after_a_second(
        self, live: World, stranger: Stranger, provider: ScriptedProvider, watch: Watch
    ) -> None:
        watch.elsewhere.append(provider.url)
        device = live.device().ask()
        stranger.enter(device.user_code)
        with self.slow(provider), stranger.page.expect_response(re.compile("/login/sso")) as answered:
            stranger.link("Continue with Corp").click()
            stranger.sees(UNREACHABLE)
        assert answered.value.status == 502
        stranger.try_again(device.user_code)
        stranger.sees("Sign-in")
        with self.slow(provider):
            stranger.link("Continue").click()
            stranger.sees(FAILED)
        stranger.try_again(device.user_code)
        stranger.link("Continue").click()
        stranger.allow()
        assert device.poll().status_int == 200

    @contextmanager
    def slow(self, provider: ScriptedProvider) -> Iterator[None]:
        """It answers nothing for as long as this lasts, which is not to be long: we wait for a second."""
        since = time.monotonic()
        provider.answering.clear()
        yield
        provider.answering.set()
        assert time.monotonic() - since < 5


class TestTheEMailIsThatOfAnAccount:
    def test_only_the_account_may_be_used(self, live: World, stranger: Stranger) -> None:
        live.person("ada@corp.example")
        device = live.device().ask()
        stranger.open(device.user_code)
        stranger.sees(HAS_ACCOUNT)
        assert device.poll().json["error"] == "authorization_pending"
        stranger.link("Sign in").click()
        stranger.sees("Sign in")
        stranger.sign_in()
        stranger.allow()
        told = device.poll().json
        assert (told["subject_type"], told["account"]["email"]) == ("account", "ada@corp.example")

    def test_a_disabled_account_does_not_come_back_this_way(self, live: World, meet: StrangerMaker) -> None:
        live.person("Ada@Corp.example")
        live.services.accounts.set_active("Ada@Corp.example", False)
        device, stranger = live.device().ask(), meet()
        stranger.open(device.user_code)
        stranger.sees(HAS_ACCOUNT)
        stranger.page.goto("/device/consent")
        stranger.sees("Sign in")
        assert device.poll().json["error"] == "authorization_pending"

    def test_an_account_that_is_made_in_the_meantime_counts_too(self, live: World, meet: StrangerMaker) -> None:
        device, stranger = live.device().ask(), meet()
        stranger.open(device.user_code)
        stranger.sees(CONSENT)
        live.person("ada@corp.example")
        stranger.button("Allow").click()
        stranger.sees(HAS_ACCOUNT)
        assert device.poll().json["error"] == "authorization_pending"


@pytest.fixture
def two_providers(make_enterprise: EnterpriseMaker, oidc_provider: OIDCProvider) -> World:
    """A server of two: the real provider, and one where nobody answers."""
    other = section("other", f"http://127.0.0.1:{free_port()}", "email_domains = other.example")
    return make_enterprise(other, section("corp", oidc_provider.issuer, "email_domains = corp.example"))


def find(stranger: Stranger, user_code: str, email: str) -> None:
    stranger.enter(user_code)
    stranger.page.get_by_label("Or find it by your work e-mail").fill(email)
    stranger.button("Find").click()


class TestTheProviderIsFoundByTheWorkEMail:
    @pytest.fixture
    def live(self, two_providers: World) -> World:
        return two_providers

    def test_the_page_goes_on_by_itself_and_the_e_mail_comes_along(self, live: World, stranger: Stranger) -> None:
        device = live.device().ask()
        find(stranger, device.user_code, "ada@Corp.Example")
        stranger.sees("Sign-in")
        expect(stranger.page.get_by_placeholder("Enter any login")).to_have_value("ada@Corp.Example")
        stranger.sign_in_there("ada@Corp.Example")
        stranger.allow()
        assert device.poll().json["subject_email"] == "ada@Corp.Example"

    def test_an_unknown_domain_is_told_below_the_field(self, live: World, stranger: Stranger) -> None:
        device = live.device().ask()
        find(stranger, device.user_code, "ada@elsewhere.example")
        problem = "No company sign-in is set up for this e-mail."
        field = stranger.page.get_by_label("Or find it by your work e-mail")
        expect(stranger.page.get_by_role("alert")).to_contain_text(problem)
        expect(field).to_be_focused()
        expect(field).to_have_value("ada@elsewhere.example")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(re.escape(problem)))
        expect(stranger.page).to_have_title(re.compile("^Error: "))
        field.fill("ada@corp.example")
        stranger.page.keyboard.press("Enter")
        stranger.sign_in_there()
        stranger.allow()
        assert device.poll().status_int == 200

    def test_an_e_mail_of_another_domain_is_not_taken(self, live: World, meet: StrangerMaker) -> None:
        device, stranger = live.device().ask(), meet()
        stranger.open(device.user_code, "ada@elsewhere.example")
        stranger.sees(FAILED)
        assert device.poll().json["error"] == "authorization_pending"


def consent(live: World, stranger: Stranger) -> None:
    stranger.open(live.device().ask(device_label="build server").user_code)


def on_the_way(live: World, stranger: Stranger) -> None:
    """The page that goes on by itself. It stays, because where it goes to answers that there is nothing to show."""
    with stranger.page.expect_event("requestfailed", lambda one: "/login/sso?" in one.url):
        stranger.page.route("**/login/sso?*", lambda route: route.fulfill(status=204))
        find(stranger, live.device().ask().user_code, "ada@corp.example")


def unreachable(live: World, stranger: Stranger) -> None:
    stranger.enter(live.device().ask().user_code)
    stranger.link("Continue with Other").click()


def sign_out(live: World, stranger: Stranger) -> None:
    consent(live, stranger)
    stranger.link("Not you? Sign out").click()


def told(problem: str) -> Callable[[World, Stranger], object]:
    return lambda _, stranger: stranger.page.goto(f"/device?{problem}")


# How to get to every page and state, and the heading that it has.
STATES: dict[str, tuple[Callable[[World, Stranger], object], str]] = {
    "sign in without a code": (lambda _, stranger: stranger.page.goto("/login"), "Sign in"),
    "sign in": (lambda live, stranger: stranger.enter(live.device().ask().user_code), "Sign in"),
    "no such e-mail": (lambda live, one: find(one, live.device().ask().user_code, "ada@elsewhere.example"), "Sign in"),
    "on the way": (on_the_way, "On to Corp"),
    "consent": (consent, CONSENT),
    "consent, long": (lambda live, one: one.open(live.device().ask().user_code, "a" * 64), CONSENT),
    "sign out": (sign_out, "Sign out?"),
    "unreachable": (unreachable, UNREACHABLE),
    "failed": (told("sso_error=sso_failed"), FAILED),
    "cancelled": (told("sso_error=sso_cancelled"), "You cancelled the sign-in"),
    "has an account": (told("sso_error=email_belongs_to_account"), HAS_ACCOUNT),
    "code is gone": (told("sso_error=user_code_not_pending"), "This code is no longer waiting"),
    "lost on the way": (told("sso_verified=1"), "Your sign-in is over"),
}


class TestEverybodyCanUseIt:
    @pytest.fixture
    def live(self, two_providers: World) -> World:
        return two_providers

    @pytest.mark.parametrize("state", STATES)
    def test_axe_finds_nothing_at_wcag_2_2_aa_and_nothing_scrolls_sideways(
        self, live: World, meet: StrangerMaker, state: str
    ) -> None:
        stranger = meet(bypass_csp=True)
        walk, heading = STATES[state]
        walk(live, stranger)
        stranger.sees(heading)
        assert problems_in_every_light(stranger.page) == {}
