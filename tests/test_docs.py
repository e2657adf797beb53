"""What the documents say is there is there."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from oauthdevice.domain.errors import (
    SSO_ERRORS,
    ConfirmationFailed,
    ConfirmationRequired,
    OtherNetworkBlocked,
    SSOInitiateFailed,
)
from oauthdevice.domain.identity_providers import BrokerProvider, OIDCProvider
from oauthdevice.domain.other_network import OtherNetwork
from oauthdevice.settings import read_settings
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
    """Every test of a file, as `test_name` or `TestClass::test_name`."""
    found: set[str] = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        inside = [(f"{node.name}::", one) for one in node.body] if isinstance(node, ast.ClassDef) else [("", node)]
        found |= {prefix + one.name for prefix, one in inside if isinstance(one, ast.FunctionDef)}
    return {name for name in found if name.rpartition("::")[2].startswith("test_")}


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
