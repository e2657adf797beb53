"""What the documents say is there is there."""

import ast
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from oauthdevice.admin import main
from oauthdevice.domain.audit import Event
from oauthdevice.domain.clients import Policy
from oauthdevice.domain.dpop import ALGORITHMS, JTI_CHARACTERS, PROOF_CHARACTERS, InvalidDPoPProof, UseDPoPNonce
from oauthdevice.domain.errors import (
    SSO_ERRORS,
    ConfirmationFailed,
    ConfirmationRequired,
    InvalidGrant,
    InvalidToken,
    OtherNetworkBlocked,
    SSOInitiateFailed,
)
from oauthdevice.domain.identity_providers import BrokerProvider, OIDCProvider
from oauthdevice.domain.other_network import OtherNetwork
from oauthdevice.domain.pkce import challenge_of
from oauthdevice.domain.webhooks import WAITS
from oauthdevice.settings import Settings, read_settings
from oauthdevice.wiring import build_services

from .servers import CHECKOUT

TESTS = CHECKOUT / "tests"
PARITY = (CHECKOUT / "docs" / "parity.md").read_text("utf-8")
SSO = (CHECKOUT / "docs" / "sso.md").read_text("utf-8")
# Number, promise, ours, tests.
ROWS = [
    (int(number), ours, tuple(re.findall(r"`([^`]+)`", shown_by)))
    for number, _, ours, shown_by in re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", PARITY, re.MULTILINE)
]


def names_in(path: Path) -> set[str]:
    """Every test of a file, as `test_name` or `TestClass::test_name`; of a state machine `TestName::runTest`."""
    found: set[str] = set()
    machines: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value).endswith(".TestCase"):
            machines |= {f"{ast.unparse(name)}::runTest" for name in node.targets}
        inside = [(f"{node.name}::", one) for one in node.body] if isinstance(node, ast.ClassDef) else [("", node)]
        found |= {prefix + one.name for prefix, one in inside if isinstance(one, ast.FunctionDef)}
    return machines | {name for name in found if name.rpartition("::")[2].startswith("test_")}


@pytest.mark.parametrize("name", sorted({name for _, _, names in ROWS for name in names}))
def test_every_test_that_the_parity_table_names_exists(name: str) -> None:
    file, _, test = name.partition("::")
    assert test in names_in(TESTS / file)


@pytest.mark.parametrize(
    ("file", "test"), re.findall(r"`(\w+/\w+\.py)::(\w+)`", (CHECKOUT / "docs" / "approval-page.md").read_text("utf-8"))
)
def test_every_test_that_the_approval_page_names_exists(file: str, test: str) -> None:
    assert test in {name.rpartition("::")[2] for name in names_in(TESTS / file)}


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`(\w+/\w+\.py::[\w:]+)`", (CHECKOUT / "docs" / "faults.md").read_text("utf-8"))))
)
def test_every_test_that_the_faults_name_exists(name: str) -> None:
    file, _, test = name.partition("::")
    assert test in names_in(TESTS / file)


def test_every_fault_is_shown_by_a_test() -> None:
    rows = re.findall(
        r"^\|(.+)\|$", (CHECKOUT / "docs" / "faults.md").read_text("utf-8").partition("\n## ")[0], re.MULTILINE
    )
    assert len(rows) > 15
    assert all(len(row.split(" | ")) == 5 and ".py::" in row.split(" | ")[4] for row in rows[2:])


def test_the_parity_table_has_every_number_and_a_test_for_each() -> None:
    assert [number for number, _, _ in ROWS] == list(range(1, 88))
    assert all(names for _, _, names in ROWS)


def test_the_parity_table_says_of_each_whether_it_is_the_same() -> None:
    for number, ours, _ in ROWS:
        assert ours.startswith(("same", "differs: ")), number


def blocks(language: str) -> list[str]:
    """What docs/sso.md shows in one language."""
    return re.findall(rf"```{language}\n(.*?)```", SSO, re.DOTALL)


@pytest.mark.parametrize("example", blocks("ini"))
def test_every_ini_example_of_sso_starts(
    example: str, tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The keys are made as the document says, in the folder that %(here)s is.
    (program,) = blocks("python")
    exec(compile(program, "docs/sso.md", "exec"), {})
    ini = tmp_path / "server.ini"
    ini.write_text(example, "utf-8")
    options = {
        "public_url": "https://login.example.com",
        "database_url": sqlite_url,
        "redis_url": "redis://127.0.0.1:1/0",
        "secret": "a secret of forty characters, for tests.",
        "edition": "enterprise",
    }
    settings = read_settings({f"oauthdevice.{name}": text for name, text in options.items()}, str(ini), {})
    declared = re.findall(r"^\[sso:(.+)\]$", example, re.MULTILINE)
    assert [one.name for one in build_services(settings).sso.choices] == declared != []


def test_there_is_an_ini_example_for_each_way_in() -> None:
    names = {name for example in blocks("ini") for name in re.findall(r"\[sso:(.+)\]", example)}
    assert names >= {"corp", "keycloak", "okta", "entra", "google", "broker"}


def test_the_table_of_sso_options_has_all_of_them() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (both|oidc|broker) \|", SSO, re.MULTILINE))
    oidc, broker = ({one.name for one in fields(kind)} - {"name"} | {"mode"} for kind in (OIDCProvider, BrokerProvider))
    assert {name for name, of in told.items() if of != "broker"} == oidc
    assert {name for name, of in told.items() if of != "oidc"} == broker


def test_every_code_that_a_person_is_told_is_explained() -> None:
    for error in (*SSO_ERRORS, SSOInitiateFailed):
        assert f"| `{error.error}` |" in SSO


def test_what_the_document_quotes_of_the_log_is_logged() -> None:
    rooms = [CHECKOUT / "oauthdevice" / name for name in ("domain", "identity_providers")]
    source = "".join(path.read_text("utf-8") for room in rooms for path in room.glob("*.py"))
    section = SSO[SSO.index("## When it fails") : SSO.index("At the start,")]
    quoted = re.findall(r"`(?:NAME: )?((?:the|no \[|told|tells|came|a|it) ?[^`]+)`", section)
    assert len(quoted) > 12
    for text in quoted:
        assert text in source, text


@pytest.mark.parametrize(("document", "option"), [("pkce.md", "pkce"), ("dpop.md", "dpop")])
def test_each_protection_names_every_policy_and_its_ini_example_starts(
    document: str, option: str, tmp_path: Path
) -> None:
    text = (CHECKOUT / "docs" / document).read_text("utf-8")
    assert {one.value for one in Policy} <= set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    (block,) = re.findall(r"```ini\n(.*?)```", text, re.DOTALL)
    ini = tmp_path / "server.ini"
    ini.write_text(block, "utf-8")
    given = dict(re.findall(r"^(oauthdevice\.\w+) = (\S+)$", block, re.MULTILINE))
    needed = {
        "public_url": "https://login.example.com",
        "database_url": "sqlite://",
        "redis_url": "redis://127.0.0.1:1/0",
        "secret": "a secret of forty characters, for tests.",
    }
    settings = read_settings({f"oauthdevice.{name}": value for name, value in needed.items()} | given, str(ini), {})
    assert getattr(settings.clients["admin-cli"], option) is Policy.REQUIRED
    # What it shows beside is the default.
    defaults = Settings()
    assert all(getattr(settings, name.partition(".")[2]) == getattr(defaults, name.partition(".")[2]) for name in given)


def test_dpop_tells_every_error_algorithm_and_claim() -> None:
    text = (CHECKOUT / "docs" / "dpop.md").read_text("utf-8")
    errors = {InvalidDPoPProof.error, UseDPoPNonce.error, InvalidGrant.error, InvalidToken.error}
    assert errors <= set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE))
    assert all(one in text for one in ALGORITHMS)
    told = {
        name for row in re.findall(r"^\| ((?:`\w+`,? ?)+) \|", text, re.MULTILINE) for name in re.findall(r"\w+", row)
    }
    assert {"jti", "htm", "htu", "iat", "nonce", "ath"} <= told
    assert f"at most {PROOF_CHARACTERS} characters" in text
    assert f"at most {JTI_CHARACTERS} characters" in text


def test_pkce_makes_a_challenge_in_the_shell() -> None:
    (example,) = re.findall(r"```sh\n(.*?)```", (CHECKOUT / "docs" / "pkce.md").read_text("utf-8"), re.DOTALL)
    made = "\n".join(example.splitlines()[:2]) + '\necho "$verifier $challenge"'
    done = subprocess.run(["sh", "-c", made], capture_output=True, text=True, check=True, timeout=10)
    verifier, challenge = done.stdout.split()
    assert challenge_of(verifier) == challenge


def test_approving_names_every_policy_and_error_of_another_network(tmp_path: Path) -> None:
    text = (CHECKOUT / "docs" / "approving.md").read_text("utf-8")
    told = re.findall(r"^\| `(\w+)`", text, re.MULTILINE)
    assert {one.value for one in OtherNetwork} <= set(told)
    assert {one.error for one in (OtherNetworkBlocked, ConfirmationRequired, ConfirmationFailed)} <= set(told)
    ini = tmp_path / "server.ini"
    (block,) = [one for one in re.findall(r"```ini\n(.*?)```", text, re.DOTALL) if "other_network" in one]
    ini.write_text(block, "utf-8")
    options = {
        "public_url": "https://login.example.com",
        "database_url": "sqlite://",
        "redis_url": "redis://127.0.0.1:1/0",
        "secret": "a secret of forty characters, for tests.",
    }
    settings = read_settings({f"oauthdevice.{name}": value for name, value in options.items()}, str(ini), {})
    assert settings.clients["admin-cli"].other_network is OtherNetwork.CONFIRM


AUDIT, WEBHOOKS = ((CHECKOUT / "docs" / f"{name}.md").read_text("utf-8") for name in ("audit", "webhooks"))


def test_audit_explains_every_finding_in_the_words_of_the_program() -> None:
    source = (CHECKOUT / "oauthdevice" / "domain" / "audit_proof.py").read_text("utf-8")
    table = re.findall(r"^\| (`.+`) \| .+ \|$", AUDIT, re.MULTILINE)
    told = {words.removeprefix("is ") for row in table for words in re.findall(r"`([^`]+)`", row)}
    assert [words for words in told if words not in source] == []
    # One of them is said of two things.
    assert len(told) == source.count("Finding(\n") + source.count('Finding("') + source.count('Finding(f"') - 1
    for words in re.findall(r'Finding\(\s*f?"([a-z][^"{]+)', source):
        assert any(one in words for one in told), words


def test_webhooks_names_every_event_and_setting_and_the_schedule() -> None:
    section = WEBHOOKS[WEBHOOKS.index("The events: ") : WEBHOOKS.index("## What is sent")]
    assert re.findall(r"`(\w+)`", section) == [one.value for one in Event]
    told = re.findall(r"^\| `oauthdevice\.(\w+)` \|", WEBHOOKS, re.MULTILINE)
    assert told == [one.name for one in fields(Settings) if one.name.startswith("webhook_")]
    assert f"then to answer: {Settings().webhook_timeout_seconds} |" in WEBHOOKS
    hours = [int(wait.total_seconds() // 3600) for wait in WAITS[3:]]
    assert [wait.total_seconds() for wait in WAITS[:3]] == [5, 300, 1800]
    words = f"5 seconds, 5 minutes, half an hour,\n{', '.join(map(str, hours[:-1]))} and {hours[-1]} hours"
    assert words in WEBHOOKS


def test_the_example_of_webhooks_starts_with_the_secret_that_is_made_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,) = re.findall(r"python3 -c '(.+)'", WEBHOOKS)
    exec(compile(program, "docs/webhooks.md", "exec"), {})
    given = {
        "public_url": "https://login.example.com",
        "database_url": "sqlite://",
        "redis_url": "redis://127.0.0.1:1/0",
        "secret": "a secret of forty characters, for tests.",
        "webhook_secret": capsys.readouterr().out.strip(),
    }
    options = {f"oauthdevice.{name}": value for name, value in given.items()}
    options |= dict(re.findall(r"^ *(oauthdevice\.\w+) = (.+)$", WEBHOOKS, re.MULTILINE))
    settings = read_settings(options, None, {})
    assert settings.webhook_urls == {"https://hooks.example.com/oauthdevice"}
    assert len(settings.webhook_events) == 6
    assert len(settings.webhook_secret) == 1


@pytest.mark.parametrize(
    "command",
    sorted({line for text in (AUDIT, WEBHOOKS) for line in re.findall(r"oauthdevice-admin -c \S+ (\w+ \w+)", text)}),
)
def test_the_commands_of_audit_and_webhooks_are_those_of_the_program(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["-c", "x", *command.split(), "--help"])
    shown = capsys.readouterr().out
    for text in (AUDIT, WEBHOOKS):
        for option in re.findall(rf"oauthdevice-admin -c \S+ {command}\b.*?(--[a-z-]+)", text):
            assert option in shown


@pytest.mark.parametrize("text", [AUDIT, WEBHOOKS], ids=["audit", "webhooks"])
def test_what_audit_and_webhooks_link_to_is_there(text: str) -> None:
    for name, anchor in re.findall(r"\]\(((?!https:)[\w./-]*)(?:#([\w-]+))?\)", text):
        path = CHECKOUT / "docs" / name if name else None
        assert path is None or path.exists(), name
        titles = re.findall(r"^## (.+)$", path.read_text("utf-8") if path else text, re.MULTILINE)
        assert not anchor or anchor in {title.lower().replace(",", "").replace(" ", "-") for title in titles}
