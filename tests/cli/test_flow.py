"""The protocol of the client, without a server: when it asks, what it makes of each answer, when it gives up."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauthdevice.client import (
    AccessDenied,
    BadAnswer,
    CodeExpired,
    DeviceLoginError,
    InvalidClient,
    InvalidGrant,
    RateLimited,
    Refused,
    ServerMetadata,
    StartedLogin,
    Unreachable,
    Unsupported,
)
from oauthdevice.client.answers import read_started, retry_after
from oauthdevice.client.flow import DEVICE_GRANT, Flow
from oauthdevice.client.messages import Fault, Reply
from oauthdevice.domain.pkce import challenge_of

from .scripted import ISSUER, PENDING, STARTED, TOKENS, Played, error, reply

SERVER = ServerMetadata(f"{ISSUER}/code", f"{ISSUER}/token", f"{ISSUER}/revoke")
DOWN = Fault("the connection broke off")


def flow(played: Played, **options: Any) -> Flow:
    return Flow(ISSUER, "cli", played.clock, metadata=SERVER, **options)


def started(played: Played, **members: Any) -> StartedLogin:
    return read_started({**STARTED, **members}, "full", played.clock(), False)


def wait(*outcomes: Reply | Fault, seconds_each: float = 0, **members: Any) -> tuple[Any, Played]:
    """What waiting ends with: tokens or the error, and how it went."""
    played = Played(*outcomes)
    try:
        return played.run(flow(played).wait(started(played, **members)), seconds_each), played
    except DeviceLoginError as raised:
        return raised, played


class TestPolling:
    def test_the_first_poll_comes_after_an_interval_and_a_margin(self) -> None:
        tokens, played = wait(reply(TOKENS))
        assert tokens.access_token == "the-token"
        assert played.pauses == [6]
        assert dict(played.requests[0].form or {}) == {
            "client_id": "cli",
            "grant_type": DEVICE_GRANT,
            "device_code": "the-device-code",
        }

    def test_each_pending_answer_is_told_with_the_time_left(self) -> None:
        _, played = wait(error("authorization_pending"), error("authorization_pending"), reply(TOKENS))
        assert played.pauses == [6, 6, 6]
        assert [one.remaining_seconds for one in played.pending] == [54, 48]

    def test_slow_down_adds_five_seconds_for_good(self) -> None:
        """RFC 8628 §3.5."""
        slow, pending = error("slow_down"), error("authorization_pending")
        _, played = wait(slow, pending, slow, reply(TOKENS), expires_in=900)
        assert played.pauses == [6, 12, 12, 18]

    def test_the_interval_that_the_server_says_is_in_force_wins(self) -> None:
        outcomes = error("slow_down", interval=12), error("authorization_pending", interval=5), reply(TOKENS)
        _, played = wait(*outcomes, expires_in=900)
        assert played.pauses == pytest.approx([6, 14.4, 6])

    def test_a_slow_down_that_tells_no_longer_interval_still_adds_five(self) -> None:
        _, played = wait(error("slow_down", interval=5), reply(TOKENS))
        assert played.pauses == [6, 12]

    def test_without_an_interval_it_is_five_seconds(self) -> None:
        """RFC 8628 §3.2."""
        for told in (None, 0, -1, True, "soon", float("nan")):
            _, played = wait(reply(TOKENS), interval=told)
            assert played.pauses == [6]

    def test_an_error_with_status_200_is_an_error(self) -> None:
        """GitHub answers so."""
        refused, played = wait(reply(PENDING), reply({"error": "access_denied"}))
        assert isinstance(refused, AccessDenied)
        assert len(played.requests) == 2

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("access_denied", AccessDenied),
            ("expired_token", CodeExpired),
            ("invalid_grant", InvalidGrant),
            ("invalid_client", InvalidClient),
            ("unheard_of", Refused),
        ],
    )
    def test_a_refusal_ends_it_with_its_own_error(self, code: str, kind: type[Refused]) -> None:
        refused, played = wait(error(code, error_description="Because."))
        assert type(refused) is kind
        assert (refused.error, refused.description) == (code, "Because.")
        assert len(played.requests) == 1

    def test_a_confirmation_number_is_passed_on(self) -> None:
        _, played = wait(error("authorization_pending", confirmation_number="47"), reply(TOKENS))
        assert played.pending[0].confirmation_number == "47"

    @pytest.mark.parametrize("number", ["\x1b[2J", "", 47, "4" * 33, None])
    def test_one_that_is_none_is_not(self, number: object) -> None:
        _, played = wait(error("authorization_pending", confirmation_number=number), reply(TOKENS))
        assert played.pending[0].confirmation_number is None

    @pytest.mark.parametrize("members", [{"access_token": "a b"}, {"token_type": "mac"}, {"access_token": None}])
    def test_a_token_that_cannot_be_used_is_none(self, members: dict[str, Any]) -> None:
        refused, _ = wait(reply({**TOKENS, **members}))
        assert isinstance(refused, BadAnswer)


class TestTrouble:
    @pytest.mark.parametrize(
        "trouble",
        [
            DOWN,
            reply("<html>Bad Gateway</html>", 502),
            reply({"error": "temporarily_unavailable"}, 503),
            reply({"error": "server_error"}, 400),
            reply('{"access_token": "half of', 200),
            reply("[]", 200),
            reply("", 200),
            reply("<html>sign in to this network</html>", 403),
            reply("moved", 302, location="https://elsewhere.example.com"),
            reply("[" * 100_000, 200),
        ],
    )
    def test_is_tried_again(self, trouble: Reply | Fault) -> None:
        tokens, played = wait(trouble, trouble, reply(TOKENS))
        assert tokens.access_token == "the-token"
        assert len(played.requests) == 3
        assert all(one.trouble for one in played.pending)

    def test_is_tried_again_ever_more_slowly(self) -> None:
        _, played = wait(*[DOWN] * 7, reply(TOKENS), interval=1, expires_in=900)
        assert played.pauses == [1.2, 1.2, 2, 4, 8, 16, 16, 16]

    def test_is_never_tried_again_before_the_interval_is_over(self) -> None:
        """The poll whose answer was lost may have been counted."""
        _, played = wait(*[DOWN] * 5, reply(TOKENS), expires_in=900)
        assert played.pauses == [6, 6, 6, 6, 8, 16]

    def test_that_is_over_is_forgotten(self) -> None:
        outcomes = DOWN, DOWN, DOWN, DOWN, error("authorization_pending"), DOWN, reply(TOKENS)
        _, played = wait(*outcomes, interval=1, expires_in=900)
        assert played.pauses == [1.2, 1.2, 2, 4, 8, 1.2, 1.2]

    @pytest.mark.parametrize("status", [429, 503])
    def test_that_asks_for_time_gets_it(self, status: int) -> None:
        _, played = wait(reply({"error": "x"}, status, retry_after="20"), reply(TOKENS))
        assert played.pauses == [6, 20]

    def test_until_the_end_is_no_network_and_not_an_expired_code(self) -> None:
        refused, played = wait(error("authorization_pending"), DOWN)
        assert isinstance(refused, Unreachable)
        assert played.now <= 1060

    def test_may_ask_for_no_more_time_than_there_is(self) -> None:
        refused, played = wait(reply({"error": "x"}, 503, retry_after="99999"))
        assert isinstance(refused, Unreachable)
        assert played.now <= 1060


class TestTheEnd:
    def test_nobody_decides(self) -> None:
        refused, played = wait(error("authorization_pending"))
        assert isinstance(refused, CodeExpired)
        assert played.now == pytest.approx(1059.5)

    def test_a_yes_in_the_last_interval_is_not_in_vain(self) -> None:
        outcomes = [error("authorization_pending")] * 9
        tokens, played = wait(*outcomes, reply(TOKENS))
        assert tokens.access_token == "the-token"
        assert played.now == pytest.approx(1059.5)

    @given(
        outcomes=st.lists(
            st.sampled_from([DOWN, error("authorization_pending"), error("slow_down"), reply("", 502)]), min_size=1
        ),
        interval=st.integers(1, 100),
        expires_in=st.integers(1, 900),
        seconds_each=st.floats(0, 10),
    )
    def test_nothing_is_sent_after_it(
        self, outcomes: list[Reply | Fault], interval: int, expires_in: int, seconds_each: float
    ) -> None:
        played = Played(*outcomes)
        steps = flow(played).wait(started(played, expires_in=expires_in, interval=interval))
        with pytest.raises((CodeExpired, Unreachable)):
            played.run(steps, seconds_each)
        assert all(moment < 1000 + expires_in for moment in played.asked_at)
        # RFC 8628 §3.5: the client waits at least the interval, but for the last call.
        gaps = [after - before for before, after in itertools.pairwise(played.asked_at)]
        assert all(gap >= interval for gap in gaps[:-1])


class TestStarting:
    def test_sends_what_was_asked_for_and_nothing_empty(self) -> None:
        played = Played(reply(STARTED))
        found = played.run(flow(played).start("", "build server", {"audience": "api"}))
        assert dict(played.requests[0].form or {}) == {
            "client_id": "cli",
            "device_label": "build server",
            "audience": "api",
        }
        assert (found.user_code, found.deadline) == ("WDJB-MJHT", 1060)

    def test_gives_up_after_five_tries(self) -> None:
        played = Played(DOWN)
        with pytest.raises(Unreachable, match="broke off"):
            played.run(flow(played).start("", None, {}))
        assert played.pauses == [1, 2, 4, 8]

    def test_gives_up_at_once_where_trying_again_helps_nothing(self) -> None:
        played = Played(Fault("the certificate of the server is not trusted", lasting=True))
        with pytest.raises(Unreachable, match="not trusted"):
            played.run(flow(played).start("", None, {}))
        assert played.pauses == []

    def test_does_not_wait_for_an_hour(self) -> None:
        played = Played(error("rate_limited", 429))
        played.outcomes = [reply({"error": "rate_limited"}, 429, retry_after="3600")]
        with pytest.raises(RateLimited) as raised:
            played.run(flow(played).start("", None, {}))
        assert raised.value.retry_after_seconds == 3600
        assert played.pauses == []

    @pytest.mark.parametrize(
        "members",
        [
            {"user_code": "\x1b]0;owned\x07"},
            {"user_code": None},
            {"device_code": 7},
            {"expires_in": None},
            {"expires_in": -1},
            {"expires_in": float("inf")},
            {"verification_uri": None},
            {"verification_uri": "http://login.example.com/device"},
            {"verification_uri": "javascript:alert(1)"},
            {"verification_uri": "https://login.example.com/\x1b[2J"},
            {"verification_uri": "https://login.example.com@evil.example/"},
        ],
    )
    def test_shows_nothing_that_is_no_code_or_no_address(self, members: dict[str, Any]) -> None:
        played = Played(reply({**STARTED, **members}))
        with pytest.raises(DeviceLoginError):
            played.run(flow(played).start("", None, {}))

    def test_leaves_out_a_complete_address_that_is_bad(self) -> None:
        played = Played(reply({**STARTED, "verification_uri_complete": "ftp://x"}))
        assert played.run(flow(played).start("", None, {})).verification_uri_complete is None

    def test_takes_the_name_of_the_drafts(self) -> None:
        """Google says verification_url."""
        members = {name: value for name, value in STARTED.items() if name != "verification_uri"}
        played = Played(reply({**members, "verification_url": "https://www.google.com/device"}))
        assert played.run(flow(played).start("", None, {})).verification_uri == "https://www.google.com/device"


class TestPKCE:
    """RFC 7636, where the metadata tells of it."""

    def form_of(self, methods: tuple[str, ...], **options: Any) -> tuple[dict[str, str], dict[str, str]]:
        """What is sent at the start, and with a poll."""
        played = Played(reply(STARTED), reply(TOKENS))
        server = ServerMetadata(f"{ISSUER}/code", f"{ISSUER}/token", code_challenge_methods=methods)
        one = Flow(ISSUER, "cli", played.clock, metadata=server, **options)
        played.run(one.wait(played.run(one.start("", None, {}))))
        at_start, at_poll = played.requests
        return dict(at_start.form or {}), dict(at_poll.form or {})

    def test_is_used_with_a_new_verifier_each_time(self) -> None:
        verifiers = set()
        for _ in range(2):
            at_start, at_poll = self.form_of(("plain", "S256"))
            assert at_start["code_challenge_method"] == "S256"
            assert at_start["code_challenge"] == challenge_of(at_poll["code_verifier"])
            verifiers.add(at_poll["code_verifier"])
        assert len(verifiers) == 2

    @pytest.mark.parametrize(("methods", "options"), [((), {}), (("plain",), {}), (("S256",), {"pkce": False})])
    def test_is_not_used_otherwise(self, methods: tuple[str, ...], options: dict[str, bool]) -> None:
        at_start, at_poll = self.form_of(methods, **options)
        assert at_start.keys() | at_poll.keys() == {"client_id", "grant_type", "device_code"}

    def test_no_repr_shows_the_verifier(self) -> None:
        played = Played(reply(STARTED))
        server = ServerMetadata(f"{ISSUER}/code", f"{ISSUER}/token", code_challenge_methods=("S256",))
        started = played.run(Flow(ISSUER, "cli", played.clock, metadata=server).start("", None, {}))
        assert started.code_verifier
        assert started.code_verifier not in repr(started)


class TestTheSecretOfAClient:
    @pytest.mark.parametrize("methods", [None, ("client_secret_basic", "client_secret_post")])
    def test_goes_into_the_header(self, methods: tuple[str, ...] | None) -> None:
        """RFC 6749 §2.3.1: form-encoded, then base64."""
        played = Played(reply(STARTED))
        server = ServerMetadata(f"{ISSUER}/code", f"{ISSUER}/token", token_endpoint_auth_methods=methods)
        one = Flow(ISSUER, "cli", played.clock, client_secret="a:b c", metadata=server)
        played.run(one.start("", None, {}))
        assert played.requests[0].headers["Authorization"] == "Basic Y2xpOmElM0FiK2M="
        assert "client_id" not in (played.requests[0].form or {})

    def test_goes_into_the_form_where_only_that_is_taken(self) -> None:
        played = Played(reply(STARTED))
        server = ServerMetadata(
            f"{ISSUER}/code", f"{ISSUER}/token", token_endpoint_auth_methods=("client_secret_post",)
        )
        played.run(Flow(ISSUER, "cli", played.clock, client_secret="s", metadata=server).start("", None, {}))
        assert (played.requests[0].form or {})["client_secret"] == "s"


class TestRefreshing:
    def test_keeps_the_old_refresh_token_where_none_is_new(self) -> None:
        """RFC 6749 §6."""
        played = Played(reply(TOKENS))
        assert played.run(flow(played).refresh("old", "full")).refresh_token == "old"
        played = Played(reply({**TOKENS, "refresh_token": "new"}))
        assert played.run(flow(played).refresh("old", "full")).refresh_token == "new"

    def test_never_sends_a_spent_token_after_the_server_has_forgotten_the_answer(self) -> None:
        played = Played(DOWN)
        with pytest.raises(Unreachable):
            played.run(flow(played, tries=99).refresh("old", "full"), seconds_each=5)
        assert played.now < 1000 + 30

    def test_says_where_it_is_no_good(self) -> None:
        played = Played(error("invalid_grant"))
        with pytest.raises(InvalidGrant):
            played.run(flow(played).refresh("old", ""))


class TestRevoking:
    def test_takes_an_empty_answer(self) -> None:
        """RFC 7009 §2.2: the client looks at nothing but the status."""
        played = Played(reply("", 200))
        played.run(flow(played).revoke("t", "access_token"))
        assert (played.requests[0].form or {})["token_type_hint"] == "access_token"

    def test_tells_a_refusal(self) -> None:
        played = Played(error("unsupported_token_type"))
        with pytest.raises(Refused):
            played.run(flow(played).revoke("t", "access_token"))

    def test_needs_a_server_that_can(self) -> None:
        played = Played(reply("", 200))
        server = ServerMetadata(f"{ISSUER}/code", f"{ISSUER}/token")
        with pytest.raises(Unsupported):
            played.run(Flow(ISSUER, "cli", played.clock, metadata=server).revoke("t", "access_token"))


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("7", 7), ("0", 0), ("", None), ("-1", None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_retry_after_is_read_in_both_forms(told: str, seconds: float | None) -> None:
    """RFC 9110 §10.2.3."""
    assert retry_after(reply("", 503, retry_after=told)) == seconds
