"""docs/threats.md, weaknesses.md and evidence.md are whole, and what they name as evidence is there.

Whether a test proves what stands beside it, no test can say: open it, and break the promise for a moment.
"""

import re

import pytest

from .servers import CHECKOUT
from .test_docs import names_in

THREATS = (CHECKOUT / "docs" / "threats.md").read_text("utf-8")
WEAKNESSES = (CHECKOUT / "docs" / "weaknesses.md").read_text("utf-8")
EVIDENCE = (CHECKOUT / "docs" / "evidence.md").read_text("utf-8")
ATTACKS = (
    "Remote phishing",
    "A link with the code in it",
    "Guessing user codes",
    "Guessing device codes",
    "Code spraying",
    "One code for many victims",
    "Approval in another session",
    "Login CSRF and session fixation",
    "Click-jacking",
    "A stolen device code",
    "Replay of a spent device code",
    "Races between decisions and polls",
    "A person who was disabled after approving",
    "A stolen refresh token",
    "Open redirects",
    "Host headers",
    "Mix-up of identity providers",
    "Accounts joined by e-mail",
    "Shoulder surfing and session spying",
    "Secrets in logs, addresses and stores",
    "Floods",
    "Same-device use",
    "Learning from errors",
    "A device that cannot be trusted",
    "A client that is not what it says",
    "A code that is told aloud or by other means",
    "Consent fatigue",
    "A session that is handed over",
    "A stolen access token",
    "Guessing passwords",
    "Attacks on passkeys",
    "An identity provider or broker that lies, or is imitated",
    "Script and markup in what strangers write",
    "A forged client address",
    "Links in mails",
    "Stores that are away or lie",
    "Foreign code in what we install",
)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")
# Of an attack: its number, its name, all that stands below its heading.
SECTIONS = re.findall(r"^## A(\d+) (.+?)\n(.+?)(?=^## |\Z)", THREATS, re.MULTILINE | re.DOTALL)
ROWS = re.findall(r"^\| W(\d+) \| (.+?) \| (.+?) \| (.+?) \|$", WEAKNESSES, re.MULTILINE)


def test_every_attack_is_there_once() -> None:
    assert [(int(number), name) for number, name, _ in SECTIONS] == list(enumerate(ATTACKS, 1))
    assert [int(number) for number in re.findall(r"^\| A(\d+) \| \[", THREATS, re.MULTILINE)] == [
        number for number, _ in enumerate(ATTACKS, 1)
    ]


@pytest.mark.parametrize(("name", "section"), [(name, section) for _, name, section in SECTIONS])
def test_every_counter_measure_has_its_setting_and_a_test(name: str, section: str) -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)[2:]
    assert rows, name
    for _, setting, shown_by in rows:
        assert setting.strip()
        assert NAMED.search(shown_by)
    assert re.search(r"^\*Left over:\* \S", section, re.MULTILINE)


def test_every_weakness_is_there_once_with_a_test() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 82))
    assert len(re.findall(r"^\| W\d+ ", WEAKNESSES, re.MULTILINE)) == len(ROWS)
    for number, weakness, ours, shown_by in ROWS:
        assert weakness.strip(), number
        assert ours.strip(), number
        assert NAMED.search(shown_by), number


def test_every_test_that_is_named_exists() -> None:
    named = set(NAMED.findall(THREATS + WEAKNESSES))
    assert len(named) > 300
    files = {file: names_in(CHECKOUT / file) for file, _ in named}
    assert [f"{file}::{test}" for file, test in sorted(named) if test not in files[file]] == []


def test_every_command_of_the_evidence_is_there() -> None:
    claims = re.findall(r"^\| (?!claim|---)(.+?) \| (.+?) \| (.+?) \|$", EVIDENCE, re.MULTILINE)
    assert len(claims) > 20
    targets = set(re.findall(r"^([\w-]+):", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for claim, _, command in claims:
        paths, makes = re.findall(r"(tests/[\w/.]+)", command), re.findall(r"`make ([\w-]+)", command)
        assert paths or makes, claim
        assert [path for path in paths if not (CHECKOUT / path).exists()] == []
        assert set(makes) <= targets


def test_every_default_that_is_named_is_that_of_the_server() -> None:
    """development.ini shows each at its default, which tests/test_settings.py checks."""
    shown = dict(
        re.findall(r"^#?(oauthdevice\.[\w.]+) = (.+)$", (CHECKOUT / "development.ini").read_text("utf-8"), re.MULTILINE)
    )
    named = re.findall(r"`(oauthdevice\.[\w.]+) = ([^`]+)`", THREATS)
    assert len(named) > 20
    for option, value in named:
        assert shown[option] == value
