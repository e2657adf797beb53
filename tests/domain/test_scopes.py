"""Which scopes a client may ask for and what a subject grants."""

import pytest

from oauthdevice.domain.errors import InvalidScope
from oauthdevice.domain.scopes import DEFAULT_SCOPES, Scope, Scopes, is_scope_token

IGNORED = frozenset({"openid", "profile", "email", "offline_access"})
STANDARD = frozenset({"full", "apps:run", "apps:read:permitted-external"})
NARROW = frozenset({"apps:run"})
OWN = frozenset({"apps:run", "printer:use"})
NOTHING: frozenset[str] = frozenset()
SCOPES = Scopes(DEFAULT_SCOPES, IGNORED)


class TestScopeToken:
    @pytest.mark.parametrize("token", ["full", "apps:run", "!", "#", "[", "]", "~", "https://example.com/scope"])
    def test_what_rfc_6749_3_3_allows(self, token: str) -> None:
        assert is_scope_token(token)

    @pytest.mark.parametrize("token", ["", " ", "a b", '"', "\\", "\x7f", "\x1f", "\u00e9", "a\n"])
    def test_what_rfc_6749_3_3_forbids(self, token: str) -> None:
        assert not is_scope_token(token)


class TestRequested:
    @pytest.mark.parametrize(
        ("scope", "client_scopes", "requested"),
        [
            ("", STANDARD, NOTHING),
            ("full", STANDARD, {"full"}),
            ("full full", STANDARD, {"full"}),
            ("  full   apps:run ", STANDARD, {"full", "apps:run"}),
            ("openid profile email offline_access", STANDARD, NOTHING),
            ("openid full", STANDARD, {"full"}),
            ("apps:run apps:read:permitted-external", STANDARD, {"apps:run", "apps:read:permitted-external"}),
            # A client that may have everything may ask for a part of it.
            ("workspace:read", STANDARD, {"workspace:read"}),
            # RFC 6749 §3.3: less than what was asked for may be granted.
            ("full apps:run", NARROW, {"apps:run"}),
            ("printer:use", OWN, {"printer:use"}),
            ("printer:use full", OWN, {"printer:use"}),
        ],
    )
    def test_a_client_gets_of_its_request_what_is_its_own(
        self, scope: str, client_scopes: frozenset[str], requested: frozenset[str]
    ) -> None:
        assert SCOPES.requested(scope, client_scopes) == requested

    @pytest.mark.parametrize(
        ("scope", "client_scopes"),
        [
            ("nonsense", STANDARD),
            ("full nonsense", STANDARD),
            ("FULL", STANDARD),
            ("printer:use", STANDARD),
            ("openid nonsense", STANDARD),
            ("full", NARROW),
            ("apps:read", NARROW),
            ("apps:read:permitted-external", frozenset({"full"})),
        ],
    )
    def test_an_unknown_scope_or_one_of_others_is_invalid_scope(
        self, scope: str, client_scopes: frozenset[str]
    ) -> None:
        with pytest.raises(InvalidScope):
            SCOPES.requested(scope, client_scopes)

    def test_what_is_ignored_is_a_setting(self) -> None:
        with pytest.raises(InvalidScope):
            Scopes(DEFAULT_SCOPES, NOTHING).requested("openid", STANDARD)

    def test_the_error_echoes_nothing(self) -> None:
        with pytest.raises(InvalidScope) as raised:
            SCOPES.requested("nonsense", STANDARD)
        assert "nonsense" not in raised.value.description


class TestGranted:
    @pytest.mark.parametrize(
        ("requested", "client_scopes", "subject_type", "granted"),
        [
            (NOTHING, STANDARD, "account", {"full"}),
            (NOTHING, STANDARD, "external_sso", {"apps:run", "apps:read:permitted-external"}),
            ({"full"}, STANDARD, "account", {"full"}),
            ({"apps:run"}, STANDARD, "account", {"apps:run"}),
            ({"apps:run", "apps:read:permitted-external"}, STANDARD, "account", {"apps:run"}),
            ({"apps:run", "full"}, STANDARD, "external_sso", {"apps:run"}),
            ({"workspace:read"}, STANDARD, "account", {"workspace:read"}),
            # Nothing requested, and the default is not the client's: whatever it has.
            (NOTHING, NARROW, "account", {"apps:run"}),
            (NOTHING, OWN, "account", {"apps:run", "printer:use"}),
            (NOTHING, NARROW, "external_sso", {"apps:run"}),
            # `full` covers the part of an external subject's default that an account has too.
            (NOTHING, frozenset({"full"}), "external_sso", {"apps:run"}),
            # A scope of the client alone is the client's affair, whoever grants it.
            ({"printer:use"}, OWN, "account", {"printer:use"}),
            ({"printer:use"}, OWN, "external_sso", {"printer:use"}),
            # The ini may have taken a scope away since the request.
            ({"apps:run", "apps:read"}, NARROW, "account", {"apps:run"}),
        ],
    )
    def test_requested_and_of_the_client_and_of_the_subject(
        self,
        requested: frozenset[str],
        client_scopes: frozenset[str],
        subject_type: str,
        granted: frozenset[str],
    ) -> None:
        assert SCOPES.granted(frozenset(requested), client_scopes, subject_type) == granted

    @pytest.mark.parametrize(
        ("requested", "client_scopes", "subject_type"),
        [
            ({"apps:read:permitted-external"}, STANDARD, "account"),
            ({"full"}, STANDARD, "external_sso"),
            ({"apps:read"}, NARROW, "account"),
            (NOTHING, frozenset({"apps:read:permitted-external"}), "account"),
        ],
    )
    def test_where_nothing_is_left_it_is_invalid_scope(
        self, requested: frozenset[str], client_scopes: frozenset[str], subject_type: str
    ) -> None:
        with pytest.raises(InvalidScope):
            SCOPES.granted(frozenset(requested), client_scopes, subject_type)

    @pytest.mark.parametrize("subject_type", ["account", "external_sso"])
    @pytest.mark.parametrize("scope", sorted(DEFAULT_SCOPES))
    def test_no_subject_grants_more_than_was_requested(self, scope: str, subject_type: str) -> None:
        try:
            granted = SCOPES.granted(frozenset({scope}), STANDARD, subject_type)
        except InvalidScope:
            return
        assert granted == {scope}


class TestDescribed:
    def test_a_person_reads_the_most_far_reaching_first(self) -> None:
        assert [scope.name for scope in SCOPES.described(frozenset(DEFAULT_SCOPES))] == list(DEFAULT_SCOPES)
        assert SCOPES.described(frozenset(DEFAULT_SCOPES))[0].name == "full"

    def test_a_scope_of_the_client_alone_is_told_by_its_name_and_last(self) -> None:
        told = [(one.name, one.text) for one in SCOPES.described(frozenset({"printer:use", "apps:run", "another:use"}))]
        assert told == [("apps:run", "Run apps"), ("another:use", "another:use"), ("printer:use", "printer:use")]

    def test_of_nothing_nothing_is_told(self) -> None:
        assert SCOPES.described(frozenset()) == []


class TestTicked:
    OPTIONAL = Scopes({"a": Scope("a", "A", optional=True), "b": Scope("b", "B")}, NOTHING)
    BOTH = frozenset({"a", "b"})

    @pytest.mark.parametrize(("ticked", "granted"), [(None, {"a", "b"}), ({"a"}, {"a", "b"}), (set(), {"b"})])
    def test_only_an_optional_one_can_be_left_out(self, ticked: set[str] | None, granted: set[str]) -> None:
        chosen = None if ticked is None else frozenset(ticked)
        assert self.OPTIONAL.granted(self.BOTH, self.BOTH, "account", chosen) == granted

    def test_leaving_out_all_there_is_grants_nothing(self) -> None:
        with pytest.raises(InvalidScope):
            self.OPTIONAL.granted(frozenset({"a"}), self.BOTH, "account", NOTHING)


class TestNarrowed:
    @pytest.mark.parametrize(
        ("scope", "held", "narrowed"),
        [
            ("", {"apps:run"}, {"apps:run"}),
            ("openid", {"apps:run"}, {"apps:run"}),
            ("apps:run", {"apps:run", "apps:read"}, {"apps:run"}),
            ("apps:run", {"full"}, {"apps:run"}),
        ],
    )
    def test_a_refresh_may_ask_for_less(self, scope: str, held: set[str], narrowed: set[str]) -> None:
        assert SCOPES.narrowed(scope, frozenset(held)) == narrowed

    @pytest.mark.parametrize("scope", ["apps:read", "full", "nonsense", "apps:run apps:read"])
    def test_and_never_for_more(self, scope: str) -> None:
        with pytest.raises(InvalidScope):
            SCOPES.narrowed(scope, NARROW)
