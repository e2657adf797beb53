"""The options. Imports no more than it takes to print the help."""

import argparse

EPILOG = """\
A command of --approve-with or --deny-with is called with three more words: the user code, the verification URI, and
the verification URI with the code in it (may be empty). It returns 0 when the person has decided.

exit status:
  0 every MUST that was tried is met   1 some MUST is not met
  2 wrong usage   3 the server cannot be reached   130 cancelled
"""


def build_parser() -> argparse.ArgumentParser:
    """All of the command line."""
    parser = argparse.ArgumentParser(
        prog="oauthdevice-conformance",
        description="Try what RFC 8628 and its relatives ask of an authorization server that can be seen from outside.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("issuer", metavar="ISSUER", help="the issuer, as https://login.example.com")
    clients = parser.add_argument_group("clients")
    clients.add_argument("--client-id", required=True, help="a client that may use the device grant")
    clients.add_argument("--client-secret", metavar="SECRET", help="its secret; default: a public client")
    clients.add_argument("--scope", default="", help="scopes to ask for, between spaces; best two or more")
    clients.add_argument(
        "--introspection-client", metavar="ID:SECRET", help="another client, which may introspect tokens"
    )
    people = parser.add_argument_group("people")
    people.add_argument("--approve-with", metavar="COMMAND", help="approves a code")
    people.add_argument("--deny-with", metavar="COMMAND", help="denies a code")
    people.add_argument("--interactive", action="store_true", help="ask at this terminal to approve and deny")
    more = parser.add_argument_group("what and how")
    more.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="a document (RFC8628) or an id; again"
    )
    more.add_argument("--resource", metavar="URL", default="", help="takes access tokens; default: userinfo_endpoint")
    more.add_argument("--guesses", metavar="NUMBER", type=_count, default=0, help="wrong user codes to try (0)")
    more.add_argument("--max-wait", metavar="SECONDS", type=_seconds, default=60.0, help="longest single wait (60)")
    more.add_argument("--timeout", metavar="SECONDS", type=_seconds, default=10.0, help="for one answer (10)")
    more.add_argument("--insecure", action="store_true", help="allow http also where it is not this machine")
    more.add_argument("--json", action="store_true", help="print one JSON document")
    more.add_argument("--list", action=_List, nargs=0, help="print every requirement and exit")
    more.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    return parser


def _count(text: str) -> int:
    found = int(text)
    if not 0 <= found <= 1000:
        raise argparse.ArgumentTypeError("from 0 to 1000")
    return found


def _seconds(text: str) -> float:
    found = float(text)
    if not 0 < found <= 3600:
        raise argparse.ArgumentTypeError("above 0 and up to 3600")
    return found


class _List(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from .catalogue import REQUIREMENTS

        for one in REQUIREMENTS:
            print(f"{one.level:6}  {one.source:18}  {one.id}: {one.text}")
        parser.exit()


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"oauthdevice-conformance {version('oauthdevice')}")
        parser.exit()
