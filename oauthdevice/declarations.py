"""What the sections of an ini file declare: `[client:…]`, `[scope:…]` and identity providers in `[sso:…]`."""

import configparser
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import values
from .domain.clients import Client
from .domain.identity_providers import BrokerProvider, OIDCProvider, Provider
from .domain.scopes import DEFAULT_SCOPES, FULL, Scope, is_scope_token
from .languages import LANGUAGES
from .values import DAY, Parse, SettingsError

CLIENT = "client:"
_CLIENT_OPTIONS: Mapping[str, Parse] = {
    "name": values.label,
    "scopes": values.scopes,
    "device_code_lifetime_seconds": values.whole(1, DAY),
    "interval_seconds": values.whole(1, 300),
    "access_token_lifetime_seconds": values.whole(60, 365 * DAY),
    "refresh_token_lifetime_seconds": values.whole(60, 365 * DAY),
    "refresh": values.switch,
    "device_flow": values.switch,
    "other_network": values.other_network,
    "pkce": values.policy,
    "dpop": values.policy,
    "secret_sha256": values.matching(r"[0-9a-f]{64}", "64 small hexadecimal digits"),
    "secret_argon2": values.matching(r"\$argon2id\$[\x21-\x7e]{20,300}", "an argon2id hash, $argon2id$..."),
}
# What there is where no file declares a client.
_DEFAULT_CLIENTS = {"difyctl": {"name": "difyctl", "scopes": "full apps:run apps:read:permitted-external"}}


def _sections(chain: list[configparser.ConfigParser], prefix: str) -> dict[str, Mapping[str, str]]:
    """Options by section name without its prefix; a section of an earlier file hides that of a later one."""
    found: dict[str, Mapping[str, str]] = {}
    for parser in chain:
        for section in parser.sections():
            if section.startswith(prefix):
                found.setdefault(section.removeprefix(prefix), _own_options(parser, section))
    return found


def read_clients(chain: list[configparser.ConfigParser], defaults: Mapping[str, Any]) -> dict[str, Client]:
    """The declared clients, or the one that is there by default; `defaults` are for what they leave out.

    Raises SettingsError.
    """
    sections = _sections(chain, CLIENT) or _DEFAULT_CLIENTS
    return {client_id: _client(client_id, options, defaults) for client_id, options in sections.items()}


SCOPE = "scope:"
_SCOPE_OPTIONS: Mapping[str, Parse] = {
    "text": values.sentence,
    "subjects": values.subject_types,
    "optional": values.switch,
    "sensitive": values.switch,
}
# `text.de` and the like: what people read of a scope in their own language.
_TEXT = "text."


def read_scopes(chain: list[configparser.ConfigParser]) -> dict[str, Scope]:
    """The declared scopes, or those that are there by default. Raises SettingsError."""
    sections = _sections(chain, SCOPE)
    if not sections:
        return dict(DEFAULT_SCOPES)
    # `full` is there whether it is declared or not: it is what an account grants by default.
    declared = {name: _scope(name, options) for name, options in sections.items()}
    return {FULL: declared.get(FULL, DEFAULT_SCOPES[FULL])} | declared


def _scope(name: str, options: Mapping[str, str]) -> Scope:
    section = f"[{SCOPE}{name}]"
    if not is_scope_token(name):
        raise SettingsError(section, "a scope is printable ASCII without spaces, quotes and backslashes")
    if not options.get("text"):
        raise SettingsError(f"{section} text", "must be set")
    texts = {
        option.removeprefix(_TEXT): values.parsed(f"{section} {option}", text, values.sentence)
        for option, text in options.items()
        if option.startswith(_TEXT)
    }
    for language in texts.keys() - LANGUAGES.keys():
        known = ", ".join(LANGUAGES)
        raise SettingsError(f"{section} {_TEXT}{language}", f"there is no such language; there are: {known}")
    others = {option: text for option, text in options.items() if not option.startswith(_TEXT)}
    # Of itself `full` is the most sensitive there is.
    return Scope(
        name, **{"sensitive": name == FULL, **_section_values(section, others, _SCOPE_OPTIONS), "texts": texts}
    )


SSO = "sso:"
_SSO_OPTIONS: Mapping[str, Parse] = {
    "label": values.label,
    "issuer": values.absolute_address,
    "email_domains": values.domains,
}
_OIDC_OPTIONS: Mapping[str, Parse] = {
    **_SSO_OPTIONS,
    "client_id": values.matching(r"[\x20-\x7e]{1,255}", "1 to 255 ASCII characters"),
    "client_secret": values.matching(r"[\x20-\x7e]{1,255}", "1 to 255 ASCII characters"),
    "scope": values.openid_scope,
    "email_verified_claim": values.matching(r"[A-Za-z0-9_.:/-]{1,128}", "the name of a claim"),
    "prompt": values.matching(r"[a-z_]+( [a-z_]+)*", "words such as login or select_account"),
    "own_callback": values.switch,
}
_BROKER_OPTIONS: Mapping[str, Parse] = {
    **_SSO_OPTIONS,
    "subject_issuers": values.words,
    "initiate_url": values.absolute_address,
    "state_keys_file": str,
    "assertion_keys": str,
    "audience": values.matching(r"[\x21-\x7e]{1,255}", "1 to 255 ASCII characters without spaces"),
}
_NEEDED = {
    "oidc": ("issuer", "client_id"),
    "broker": ("issuer", "subject_issuers", "initiate_url", "state_keys_file", "assertion_keys"),
}


def read_identity_providers(chain: list[configparser.ConfigParser], environ: Mapping[str, str]) -> dict[str, Provider]:
    """The declared identity providers, in the order of the file. Raises SettingsError.

    The client_secret of `[sso:NAME]` comes from OAUTHDEVICE_SSO_NAME_CLIENT_SECRET where that is set.
    """
    return {name: _provider(name, options, environ) for name, options in _sections(chain, SSO).items()}


def _provider(name: str, options: Mapping[str, str], environ: Mapping[str, str]) -> Provider:
    section, given = f"[{SSO}{name}]", {option: text for option, text in options.items() if text}
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        raise SettingsError(section, "the name is 1 to 32 small letters, digits or -")
    mode = values.parsed(f"{section} mode", given.pop("mode", "oidc"), values.choice(*_NEEDED))
    given.setdefault("label", name.capitalize())
    for needed in _NEEDED[mode]:
        if needed not in given:
            raise SettingsError(f"{section} {needed}", "must be set")
    if mode == "broker":
        return BrokerProvider(name=name, **_section_values(section, given, _BROKER_OPTIONS))
    secret = environ.get(f"OAUTHDEVICE_SSO_{name.upper().replace('-', '_')}_CLIENT_SECRET", "")
    given |= {"client_secret": secret} if secret else {}
    return OIDCProvider(name=name, **_section_values(section, given, _OIDC_OPTIONS))


def _section_values(section: str, options: Mapping[str, str], known: Mapping[str, Parse]) -> dict[str, Any]:
    for name in options:
        if name not in known:
            raise SettingsError(f"{section} {name}", "there is no such setting")
    return {name: values.parsed(f"{section} {name}", text, known[name]) for name, text in options.items()}


def _own_options(parser: configparser.ConfigParser, section: str) -> dict[str, str]:
    own = {}
    for name in parser.options(section):
        if name in parser.defaults():
            continue
        try:
            own[name] = parser.get(section, name).strip()
        except configparser.Error as error:
            raise SettingsError(f"[{section}] {name}", "holds a % that is not %% or %(here)s") from error
    return own


def _client(client_id: str, options: Mapping[str, str], defaults: Mapping[str, Any]) -> Client:
    section = f"[{CLIENT}{client_id}]"
    # Without what HTTP Basic writes in two ways: half the clients send it encoded, half as it is.
    if not re.fullmatch(r"[A-Za-z0-9._~/@!$&'*,;=()-]{1,64}", client_id):
        raise SettingsError(section, "a client_id is 1 to 64 ASCII letters, digits or . _ ~ / @ ! $ & ' * , ; = ( ) -")
    own = _section_values(section, options, _CLIENT_OPTIONS)
    for name in ("name", "scopes"):
        if not own.get(name):
            raise SettingsError(f"{section} {name}", "must be set")
    if "secret_sha256" in own and "secret_argon2" in own:
        raise SettingsError(f"{section} secret_argon2", "give one digest of the secret, not two")
    return Client(client_id=client_id, **{**defaults, **own})


def files_of(ini_file: str | None) -> Iterator[configparser.ConfigParser]:
    """The file and, after it, the files that its applications take over with `use = config:…`."""
    waiting = [Path(ini_file)] if ini_file else []
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop(0).resolve()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        parser = configparser.ConfigParser(defaults={"here": str(path.parent), "__file__": str(path)})
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # documented way to keep case
        parser.read(path, "utf-8")
        yield parser
        for section in parser.sections():
            base = parser.get(section, "use", fallback="") if section.startswith("app") else ""
            if base.startswith("config:"):
                waiting.append(path.parent / base.removeprefix("config:").partition("#")[0])
