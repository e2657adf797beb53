"""Each check fails where the server does something else: ours, with one thing of its answers changed.

What announces proofs of possession is in `test_proofs`.
"""

import itertools
import json
import secrets
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from webob import Request, Response

from oauthdevice.conformance.catalogue import CHAPTERS
from oauthdevice.conformance.people import Asked
from oauthdevice.conformance.probe import DEVICE_GRANT, STRANGER
from oauthdevice.conformance.requirements import NotTried, Outcome

from .conftest import API, Decider, Kit, Middleware, answer, passing

METADATA = "/.well-known/oauth-authorization-server"
CODE, TOKEN = "/oauth/device/code", "/oauth/device/token"
INTROSPECT, REVOKE, PAGE = "/oauth/introspect", "/oauth/revoke", "/device"
COUNT = itertools.count(2000)
BASIC = "Basic " + b64encode(f"{API.client_id}:{API.secret}".encode()).decode()
Matching = Callable[[Request, Response], bool]


def error_of(reply: Response) -> str:
    return str(reply.json.get("error", "")) if reply.content_type == "application/json" else ""


def gives_token(_: Request, reply: Response) -> bool:
    return reply.status_int == 200 and "access_token" in reply.json


def succeeds(_: Request, reply: Response) -> bool:
    return reply.status_int == 200


def always(_: Request, __: Response) -> bool:
    return True


def asked(**parameters: str) -> Matching:
    """Where the request has these parameters; "" means that it lacks one."""
    return lambda request, _: all(request.POST.get(name, "") == value for name, value in parameters.items())


def says(*errors: str) -> Matching:
    return lambda _, reply: error_of(reply) in errors


def members(path: str, when: Matching = succeeds, **changes: Any) -> Middleware:
    """Members changed; None takes one out, and a function makes it anew."""

    def after(request: Request, reply: Response) -> None:
        if when(request, reply):
            new = {name: value(reply.json) if callable(value) else value for name, value in changes.items()}
            kept = {**reply.json, **new}
            reply.body = json.dumps({name: value for name, value in kept.items() if value is not None}).encode()

    return passing(path, after)


def header(path: str, when: Matching = succeeds, **changes: str | None) -> Middleware:
    """Headers changed, `_` for `-`; None takes one out."""

    def after(request: Request, reply: Response) -> None:
        if when(request, reply):
            for name, value in changes.items():
                reply.headers.pop(name.replace("_", "-"), None)
                if value is not None:
                    reply.headers[name.replace("_", "-")] = value

    return passing(path, after)


def instead(path: str, when: Matching, status: int = 400, **document: Any) -> Middleware:
    """Another answer."""
    return passing(path, lambda request, reply: answer(status, **document) if when(request, reply) else None)


def renamed(path: str, error: str, to: str, status: int = 400) -> Middleware:
    return instead(path, says(error), status, error=to)


def swallowed(path: str, when: Callable[[Request], bool], **document: Any) -> Middleware:
    """The server never hears of it."""

    def middleware(app: Any) -> Any:
        def changed(environ: dict[str, Any], start_response: Any) -> Any:
            request = Request(environ)
            swallow = request.path.endswith(path) and when(request)
            return (answer(200, **document) if swallow else request.get_response(app))(environ, start_response)

        return changed

    return middleware


def filled(path: str, when: Callable[[Request], bool], drop_header: bool = False, **parameters: str) -> Middleware:
    """Parameters put into the request."""

    def before(request: Request) -> None:
        if when(request):
            form = dict(request.POST.items()) | parameters
            request.body = "&".join(f"{name}={value}" for name, value in form.items()).encode()
            if drop_header:
                del request.headers["Authorization"]

    return passing(path, lambda _, __: None, before)


def authorized(path: str) -> Middleware:
    """Whoever asks is taken for a client that may."""

    def before(request: Request) -> None:
        request.headers.setdefault("Authorization", BASIC)

    return passing(path, lambda _, __: None, before)


def deduplicated(path: str) -> Middleware:
    """The last of several holds, and a scope that nobody knows is forgotten."""

    def before(request: Request) -> None:
        form = dict(request.POST.items())
        if len(form) != len(request.POST):
            form.pop("scope", None)
            request.body = "&".join(f"{name}={value}" for name, value in form.items()).encode()

    return passing(path, lambda _, __: None, before)


def first_alone(path: str, **document: Any) -> Middleware:
    """Only the first request is answered so."""
    seen: list[int] = []

    def after(_: Request, __: Response) -> Response | None:
        seen.append(1)
        return answer(500, **document) if len(seen) == 1 else None

    return passing(path, after)


def slowed(_: str, keep: int, rest: str) -> Middleware:
    """After `keep` answers of slow_down: `rest` in place of what the other of the two would be."""
    seen: list[int] = []

    def after(_: Request, reply: Response) -> Response | None:
        error = error_of(reply)
        if len(seen) >= keep and error in ("slow_down", "authorization_pending"):
            return answer(400, error=rest)
        seen.extend([1] if error == "slow_down" else [])
        return None

    return passing(TOKEN, after)


def body(path: str, text: str) -> Middleware:
    def after(_: Request, reply: Response) -> None:
        reply.text = reply.text.replace("</body>", f"{text}</body>")

    return passing(path, after)


def both(*some: Middleware) -> Middleware:
    def middleware(app: Any) -> Any:
        for one in some:
            app = one(app)
        return app

    return middleware


def lacks(name: str) -> Callable[[Request], bool]:
    return lambda request: not request.POST.get(name) and "Authorization" not in request.headers


def has_basic(request: Request) -> bool:
    return "Authorization" in request.headers


def token_starts(prefix: str) -> Callable[[Request], bool]:
    return lambda request: request.POST.get("token", "").startswith(prefix)


def revokes(prefix: str) -> Matching:
    return lambda request, _: token_starts(prefix)(request)


def takes_all_by_get(path: str, status: int, **document: Any) -> Middleware:
    return instead(path, lambda request, _: request.method == "GET", status, **document)


@dataclass(frozen=True)
class Case:
    """What is changed, and what fails of the same chapter besides."""

    change: Middleware
    also: frozenset[str] = frozenset()


def case(change: Middleware, *also: str) -> Case:
    return Case(change, frozenset(also))


without_code = asked(grant_type=DEVICE_GRANT, device_code="")
CASES = {
    "rfc8414-location": case(instead(METADATA, always, 404, error="not_found")),
    "rfc8414-content-type": case(header(METADATA, content_type="text/plain")),
    "rfc8414-issuer-is-identical": case(members(METADATA, issuer="http://localhost/other")),
    "rfc8414-issuer-form": case(members(METADATA, issuer="http://localhost?x=1"), "rfc8414-issuer-is-identical"),
    "rfc8414-required-members": case(members(METADATA, response_types_supported=None)),
    "rfc8414-authorization-endpoint": case(
        members(METADATA, grant_types_supported=[DEVICE_GRANT, "authorization_code"])
    ),
    "rfc8414-types-of-lists": case(members(METADATA, ui_locales_supported="en")),
    "rfc8414-no-empty-lists": case(members(METADATA, ui_locales_supported=[])),
    "rfc8414-addresses-are-absolute": case(members(METADATA, service_documentation="/docs")),
    "rfc8414-tls": case(members(METADATA, service_documentation="http://docs.example.com/")),
    "rfc8414-signing-algorithms": case(
        members(METADATA, token_endpoint_auth_methods_supported=["none", "private_key_jwt"])
    ),
    "rfc8414-scopes-are-told": case(members(METADATA, scopes_supported=None)),
    "rfc8414-signed-metadata": case(members(METADATA, signed_metadata="e30.e30.")),
    "rfc8628-device-grant-is-announced": case(members(METADATA, grant_types_supported=["refresh_token"])),
    "rfc8628-form-starts": case(first_alone(CODE, error="server_error")),
    "rfc8628-client-id-is-required": case(filled(CODE, lacks("client_id"), client_id="cli")),
    "rfc8628-unknown-client": case(renamed(CODE, "invalid_client", "server_error")),
    "rfc8628-empty-is-omitted": case(
        instead(CODE, lambda request, _: request.POST.get("scope", "x") == "", error="invalid_scope")
    ),
    "rfc8628-unknown-is-ignored": case(instead(CODE, asked(oauthdevice_conformance="1"), error="invalid_request")),
    "rfc8628-repeated-is-refused": case(deduplicated(CODE)),
    "rfc8628-answer-is-json": case(header(CODE, content_type="text/html")),
    "rfc8628-required-members": case(members(CODE, expires_in="900")),
    "rfc8628-interval-is-a-number": case(members(CODE, interval="1")),
    "rfc6749-no-store": case(header(CODE, cache_control="no-cache")),
    "rfc8628-codes-are-unique": case(members(CODE, user_code="BCDF-GHJK")),
    "rfc8628-verification-uri-is-short": case(
        members(CODE, verification_uri=lambda told: told["verification_uri"] + "?" + "x" * 60)
    ),
    "rfc8628-code-is-not-in-verification-uri": case(
        members(CODE, verification_uri=lambda told: told["verification_uri"] + "#" + told["user_code"])
    ),
    "rfc8628-link-has-the-code": case(members(CODE, verification_uri_complete=lambda told: told["verification_uri"])),
    "rfc8628-verification-page-is-there": case(instead(PAGE, always, 404)),
    "rfc8628-user-code-entropy": case(members(CODE, user_code=lambda _: f"{next(COUNT):04}")),
    "rfc8628-device-code-entropy": case(
        members(CODE, device_code=lambda told: told["device_code"][-8:]), "rfc8628-link-alone-approves-nothing"
    ),
    "rfc8628-no-confusing-letters": case(members(CODE, user_code=lambda told: "0O" + told["user_code"])),
    "rfc8628-device-code-is-required": case(instead(TOKEN, without_code, error="server_error")),
    "rfc8628-client-id-is-required-to-poll": case(filled(TOKEN, lacks("client_id"), client_id="cli")),
    "rfc8628-unknown-code": case(instead(TOKEN, asked(device_code=STRANGER), error="expired_token")),
    "rfc8628-pending": case(renamed(TOKEN, "authorization_pending", "pending")),
    "rfc6749-code-is-of-its-client": case(filled(TOKEN, has_basic, drop_header=True, client_id="cli")),
    "rfc8628-haste-is-told": case(renamed(TOKEN, "slow_down", "authorization_pending")),
    "rfc8628-pending-after-slow-down": case(slowed(TOKEN, 1, "slow_down")),
    "rfc8628-slow-down-lasts": case(slowed(TOKEN, 1, "authorization_pending")),
    "rfc8628-denied": case(renamed(TOKEN, "access_denied", "invalid_grant")),
    "rfc8628-expired": case(renamed(TOKEN, "expired_token", "invalid_grant")),
    "rfc6749-token-endpoint-has-no-fragment": case(
        members(METADATA, token_endpoint=lambda told: told["token_endpoint"] + "#here")
    ),
    "rfc6749-token-takes-post-alone": case(takes_all_by_get(TOKEN, 400, error="authorization_pending")),
    "rfc6749-empty-is-omitted-at-token": case(
        instead(TOKEN, lambda request, _: request.POST.get("device_code", "x") == "", error="invalid_grant")
    ),
    "rfc6749-unknown-is-ignored-at-token": case(
        instead(TOKEN, asked(oauthdevice_conformance="1"), error="invalid_request")
    ),
    "rfc6749-repeated-is-refused-at-token": case(deduplicated(TOKEN)),
    "rfc6749-grant-type-is-required": case(filled(TOKEN, lacks("grant_type"), grant_type=DEVICE_GRANT)),
    "rfc6749-unknown-grant-type": case(renamed(TOKEN, "unsupported_grant_type", "invalid_request")),
    "rfc6749-unknown-refresh-token": case(instead(TOKEN, asked(refresh_token=STRANGER), error="expired_token")),
    "rfc6749-errors-are-400": case(instead(TOKEN, without_code, 422, error="invalid_request")),
    "rfc6749-errors-are-json": case(header(TOKEN, without_code, content_type="text/html")),
    "rfc6749-errors-are-ascii": case(members(TOKEN, without_code, error_description='say "no"')),
    "rfc6749-challenge-where-authorization-was-used": case(header(TOKEN, always, www_authenticate=None)),
    "rfc6749-basic-is-supported": case(
        passing(
            TOKEN,
            lambda request, _: (
                Response(json_body={"error": "invalid_client"}, status=401, headers={"WWW-Authenticate": "Basic"})
                if has_basic(request)
                else None
            ),
        )
    ),
    "rfc6749-token-members": case(members(TOKEN, gives_token, token_type=None)),
    "rfc6749-token-is-json": case(header(TOKEN, gives_token, content_type="text/plain")),
    "rfc6749-token-is-not-stored": case(header(TOKEN, gives_token, cache_control="private")),
    "rfc6749-token-has-pragma": case(header(TOKEN, gives_token, pragma=None)),
    "rfc6749-token-expires-in": case(members(TOKEN, gives_token, expires_in=None)),
    "rfc6749-scope-is-told-where-it-differs": case(
        both(members(TOKEN, gives_token, scope=None), members(INTROSPECT, scope="apps:run"))
    ),
    "rfc6749-narrower-scope": case(
        instead(TOKEN, lambda request, _: request.POST.get("scope") == "apps:run", error="invalid_scope")
    ),
    "rfc6749-broader-scope": case(
        instead(
            TOKEN,
            lambda request, _: "oauthdevice-conformance" in request.POST.get("scope", ""),
            200,
            access_token="x",
            scope="apps:run oauthdevice-conformance",
        )
    ),
    "rfc6749-refresh-token-is-of-its-client": case(
        filled(
            TOKEN,
            lambda request: has_basic(request) and "refresh_token" in request.POST,
            drop_header=True,
            client_id="cli",
        ),
        "rfc6749-narrower-scope",
    ),
    "rfc9700-refresh-token-replay": case(
        members(
            TOKEN,
            lambda request, reply: gives_token(request, reply) and "refresh_token" in request.POST,
            extra=lambda _: secrets.token_hex(),
        )
    ),
    "rfc7009-unknown-token-is-no-error": case(
        instead(REVOKE, asked(token=STRANGER, token_type_hint="", client_id="cli"), error="invalid_request")
    ),
    "rfc7009-unknown-hint-is-ignored": case(
        instead(REVOKE, asked(token_type_hint="oauthdevice-conformance"), error="unsupported_token_type")
    ),
    "rfc7009-token-is-required": case(instead(REVOKE, asked(token="", client_id="cli"), 200)),
    "rfc7009-client-is-validated": case(filled(REVOKE, has_basic, drop_header=True, client_id="cli")),
    "rfc7009-client-is-required": case(filled(REVOKE, lacks("client_id"), client_id="cli")),
    "rfc7009-revocation-takes-post-alone": case(takes_all_by_get(REVOKE, 200)),
    "rfc7009-access-tokens-are-revoked": case(instead(REVOKE, revokes("dfoa_"), error="unsupported_token_type")),
    "rfc7009-revoked-access-token-is-dead": case(swallowed(REVOKE, token_starts("dfoa_"))),
    "rfc7009-refresh-tokens-are-revoked": case(instead(REVOKE, revokes("dfor_"), error="unsupported_token_type")),
    "rfc7009-revoked-refresh-token-is-dead": case(
        swallowed(REVOKE, token_starts("dfor_")), "rfc7009-access-token-dies-with-refresh-token"
    ),
    "rfc7009-access-token-dies-with-refresh-token": case(
        instead(INTROSPECT, revokes("dfoa_"), 200, active=True), "rfc7009-revoked-access-token-is-dead"
    ),
    "rfc7662-authorization-is-required": case(authorized(INTROSPECT)),
    "rfc7662-wrong-credentials-are-401": case(renamed(INTROSPECT, "invalid_client", "invalid_client", 403)),
    "rfc7662-unknown-token-is-inactive": case(
        members(INTROSPECT, lambda _, reply: reply.json.get("active") is False, active="false")
    ),
    "rfc7662-inactive-tells-no-more": case(
        members(INTROSPECT, lambda _, reply: reply.json.get("active") is False, reason="unknown")
    ),
    "rfc7662-introspected-token-is-required": case(instead(INTROSPECT, asked(token=""), 200, active=False)),
    "rfc7662-introspection-is-json": case(header(INTROSPECT, content_type="text/html")),
    "rfc7662-live-token-is-active": case(
        members(INTROSPECT, revokes("dfoa_"), active=1), "rfc7662-wrong-hint-is-no-hindrance"
    ),
    "rfc7662-types-of-members": case(members(INTROSPECT, revokes("dfoa_"), exp="soon")),
    "rfc7662-members-are-true": case(members(INTROSPECT, revokes("dfoa_"), client_id="another")),
    "rfc7662-wrong-hint-is-no-hindrance": case(
        instead(INTROSPECT, asked(token_type_hint="refresh_token"), 200, active=False)
    ),
    "rfc10027-codes-live-shortly": case(members(CODE, expires_in=86_400)),
    "rfc10027-codes-work-once": case(members(TOKEN, gives_token, extra=lambda _: secrets.token_hex())),
    "rfc10027-tokens-live-for-a-time": case(members(TOKEN, gives_token, expires_in=None)),
    "rfc10027-tokens-are-bound-to-a-key": case(members(METADATA, dpop_signing_alg_values_supported=None)),
    "rfc9700-page-cannot-be-framed": case(
        header(PAGE, x_frame_options=None, content_security_policy=None), "rfc9700-page-has-frame-ancestors"
    ),
    "rfc9700-page-has-frame-ancestors": case(header(PAGE, content_security_policy="default-src 'self'")),
    "rfc9700-page-keeps-its-address": case(header(PAGE, referrer_policy="unsafe-url")),
    "rfc9700-page-loads-nothing-foreign": case(body(PAGE, '<img alt="" src="https://elsewhere.example/x.png">')),
    "rfc6749-page-with-the-code-is-not-stored": case(header(PAGE, cache_control=None)),
}


def chapter_of(requirement: str) -> list[str]:
    return next(
        ids for ids in ([one.id for one in chapter.requirements] for chapter in CHAPTERS.values()) if requirement in ids
    )


def failing(kit: Kit, *only: str, **options: Any) -> set[str]:
    found = kit.examine(*only, **options)
    return {one for one, of in found.items() if of.outcome in (Outcome.FAILED, Outcome.NOT_DONE)}


@pytest.mark.parametrize("requirement", CASES)
def test_this_check_fails_and_no_other(kit: Kit, requirement: str) -> None:
    one = CASES[requirement]
    found = failing(kit, *chapter_of(requirement), app=one.change(kit.world.app))
    assert found == {requirement} | one.also
    assert requirement in found


TLS = {
    "rfc8414-issuer-form", "rfc8414-tls", "rfc8628-tls", "rfc6749-verification-page-tls", "rfc6749-token-tls",
    "rfc7009-revocation-tls", "rfc7662-introspection-tls",
}  # fmt: skip


def test_without_tls_every_check_of_tls_fails(make_kit: Callable[..., Kit]) -> None:
    kit = make_kit(public_url="http://login.example.com")
    assert failing(kit, *TLS, insecure=True) == TLS
    assert failing(kit, *TLS) == TLS - {"rfc6749-verification-page-tls"}
    assert failing(kit) >= TLS - {"rfc6749-verification-page-tls"}


def test_https_without_hsts_fails(make_kit: Callable[..., Kit]) -> None:
    kit = make_kit(public_url="https://login.example.com")
    change = header(PAGE, strict_transport_security=None)
    assert failing(kit, "rfc9325-hsts", app=change(kit.world.app)) == {"rfc9325-hsts"}


def test_a_link_that_approves_by_itself_fails(kit: Kit) -> None:
    def after(request: Request, _: Response) -> None:
        if code := request.GET.get("user_code"):
            Decider(kit.world).decide(Asked(code, "", ""), True)

    found = failing(kit, *chapter_of("rfc8628-tls"), app=passing(PAGE, after)(kit.world.app))
    assert found == {"rfc8628-link-alone-approves-nothing"}


class Picky(Decider):
    """At a page that takes a code only as it was shown."""

    def decide(self, asked: Asked, approve: bool) -> None:
        if asked.user_code != asked.user_code.upper():
            raise NotTried("no such code")
        super().decide(asked, approve)


def test_a_page_that_takes_codes_only_as_shown_fails(kit: Kit) -> None:
    found = failing(kit, *chapter_of("rfc8628-tls"), person=Picky(kit.world))
    assert found == {"rfc8628-code-is-read-with-tolerance"}


def test_guessing_without_end_fails(kit: Kit) -> None:
    name = "rfc8628-guesses-are-limited"
    assert failing(kit, name, guesses=30) == {name}
    assert failing(kit, name) == set()


def test_a_page_without_the_code_is_no_failure(kit: Kit) -> None:
    """Whoever has not signed in may be shown none: nothing is said of the page behind."""

    def after(request: Request, reply: Response) -> None:
        reply.text = reply.text.replace(request.GET.get("user_code", "-"), "")

    name = "rfc8628-page-shows-the-code"
    found = kit.examine(name, app=passing(PAGE, after)(kit.world.app))
    assert found[name].outcome is Outcome.NOT_TRIED


def test_every_check_is_made_to_fail_somewhere() -> None:
    elsewhere = TLS | {
        "rfc9325-hsts",
        "rfc8628-link-alone-approves-nothing",
        "rfc8628-code-is-read-with-tolerance",
        "rfc8628-guesses-are-limited",
        # It is met, or cannot be seen.
        "rfc8628-page-shows-the-code",
    }
    every = {
        one.id for name, chapter in CHAPTERS.items() if name != "Proof of Possession" for one in chapter.requirements
    }
    assert CASES.keys() | elsewhere == every
