"""What the server is made of is pinned, licensed, and looked up; docs/supply-chain.md says how."""

import configparser
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from webob import Request, Response

from .servers import CHECKOUT, serve_in_thread
from .supply_chain import LOCK, audit, locked, summary

TEXT = LOCK.read_text("utf-8")
PINNED = locked(TEXT)
DOCUMENT = (CHECKOUT / "docs" / "licences.md").read_text("utf-8")
LICENCES = dict(re.findall(r"^\| ([\w.-]+) \| (.+?) \|$", DOCUMENT, re.MULTILINE)[1:])
# Kinds that were looked at. Another one is for a person to read first.
LOOKED_AT = re.compile(r"MIT|BSD|Apache|PSF|Python Software|Mozilla|MPL|Zope|ZPL|Repoze|LGPL|ISC")


def wanted() -> list[Requirement]:
    setup = configparser.ConfigParser()
    setup.read(CHECKOUT / "setup.cfg", "utf-8")
    listed = setup["options"]["install_requires"] + setup["options.extras_require"]["production"]
    return [Requirement(line) for line in listed.splitlines() if line]


class TestTheLock:
    def test_pins_every_package_with_a_hash(self) -> None:
        assert len(PINNED) > 40
        assert all(one.hashes for one in PINNED)
        # Nothing stands in it but packages, their hashes and who made it.
        assert len(re.findall(r"^[^#\s]", TEXT, re.MULTILINE)) == len(PINNED)

    def test_names_no_place_to_download_from(self) -> None:
        assert "://" not in TEXT
        assert not re.search(r"^\s*-(?!-hash=)", TEXT, re.MULTILINE)

    def test_has_what_the_server_depends_on(self) -> None:
        versions = {canonicalize_name(one.name): one.version for one in PINNED if one.is_for_us}
        for one in wanted():
            assert one.specifier.contains(versions[canonicalize_name(one.name)]), one
        # What builds the package is among them: nothing is fetched for it.
        assert "setuptools" in versions

    def test_is_read_as_it_is_written(self) -> None:
        zeros = "0" * 64
        text = (
            f"# made\na-b==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:{zeros} \\\n    --hash=sha256:{zeros}\n"
        )
        (one,) = locked(text)
        assert (one.name, one.version, one.marker, one.hashes) == ("a-b", "1.0", "sys_platform == 'win32'", 2)
        assert not one.is_for_us


class TestTheLicences:
    def test_are_those_of_what_the_lock_installs(self) -> None:
        told = [canonicalize_name(name) for name in LICENCES]
        assert sorted(told) == sorted({canonicalize_name(one.name) for one in PINNED if one.is_for_us})

    def test_are_of_kinds_that_were_looked_at(self) -> None:
        assert {name: kind for name, kind in LICENCES.items() if not LOOKED_AT.search(kind)} == {}
        assert [kind for kind in LICENCES.values() if re.search(r"\bA?GPL|UNKNOWN", kind)] == []


@contextmanager
def database_of_holes(**holes: str) -> Iterator[list[str]]:
    """The options of pip-audit for a database that knows one hole for each package named, and no other."""

    def app(environ: dict[str, object], start_response: object) -> object:
        asked = json.loads(Request(environ).body)
        name = asked["package"]["name"]
        known = {
            "id": holes.get(name),
            "summary": "A hole",
            "modified": "2026-01-01T00:00:00Z",
            "affected": [
                {
                    "package": {"name": name, "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9999"}]}],
                }
            ],
        }
        return Response(json_body={"vulns": [known]} if name in holes else {})(environ, start_response)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/query"
        with serve_in_thread(app, listener):
            yield ["--vulnerability-service", "osv", "--osv-url", url]


class TestTheAudit:
    def test_where_nothing_is_known_it_says_how_much_was_looked_up(self, capsys: pytest.CaptureFixture[str]) -> None:
        with database_of_holes() as options:
            assert audit(options) == 0
        told = capsys.readouterr().out
        looked_up = re.search(r"^requirements\.lock: (\d+) packages looked up, 0 known holes\.$", told, re.MULTILINE)
        assert looked_up is not None
        assert int(looked_up[1]) > 40
        assert "SKIPPED" not in told

    def test_a_known_hole_fails_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        with database_of_holes(waitress="GHSA-test") as options:
            assert audit(options) == 1
        told = capsys.readouterr().out
        assert re.search(r"^requirements\.lock: waitress \S+: GHSA-test, fixed in 9999$", told, re.MULTILINE)

    def test_without_a_network_it_says_that_nothing_was_looked_up(self, capsys: pytest.CaptureFixture[str]) -> None:
        options = ["--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:1/"]
        assert audit(options) == 0
        told = capsys.readouterr().out
        assert told.startswith("requirements.lock: SKIPPED, nothing was looked up")
        assert "known holes." not in told

    def test_that_it_could_not_run_is_no_success(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert audit(["--no-such-option"]) == 2
        assert "pip-audit failed" in capsys.readouterr().err

    def test_a_mirror_that_knows_of_no_holes_is_no_clean_bill(self) -> None:
        unknown = [{"name": name, "skip_reason": "not found"} for name in ("a", "b")]
        assert summary("here", unknown) == (
            ["here: SKIPPED, nothing was looked up: the database of known holes knows none of them."],
            0,
        )
        lines, status = summary("here", [*unknown, {"name": "c", "version": "1", "vulns": []}])
        assert lines == [
            "here: not looked up, as the database does not know them: a, b",
            "here: 1 packages looked up, 0 known holes.",
        ]
        assert status == 0
