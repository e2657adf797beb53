"""From the options to a probe."""

import shlex
from argparse import Namespace

import httpx

from ..client import InsecureAddress
from ..client.addresses import check_address
from .people import AtTerminal, Commands, Nobody, Person
from .probe import Client, Probe
from .transport import Transport


class BadOption(Exception):
    """The message names the option and says what it takes."""


def probe_of(options: Namespace, http: httpx.Client) -> Probe:
    """Raises BadOption."""
    return Probe(
        issuer=_address("ISSUER", options.issuer, options.insecure),
        http=Transport(http, options.max_wait),
        client=Client(options.client_id, options.client_secret),
        person=_person(options),
        scope=options.scope,
        other_client=_other_client(options.introspection_client),
        resource=_address("--resource", options.resource, options.insecure) if options.resource else "",
        guesses=options.guesses,
        insecure=options.insecure,
    )


def _address(option: str, told: str, insecure: bool) -> str:
    try:
        return check_address(told, insecure)
    except InsecureAddress as error:
        raise BadOption(f"{option}: {error}; --insecure allows http") from None


def _person(options: Namespace) -> Person:
    if options.interactive and (options.approve_with or options.deny_with):
        raise BadOption("--interactive stands alone, without --approve-with and --deny-with")
    for command in (options.approve_with, options.deny_with):
        _check_command(command)
    if options.interactive:
        return AtTerminal()
    if options.approve_with or options.deny_with:
        return Commands(options.approve_with, options.deny_with)
    return Nobody()


def _check_command(command: str | None) -> None:
    try:
        if command is not None and not shlex.split(command):
            raise ValueError("it is empty")
    except ValueError as error:
        raise BadOption(f"--approve-with and --deny-with take a command: {error}") from None


def _other_client(told: str | None) -> Client | None:
    if told is None:
        return None
    client_id, _, secret = told.partition(":")
    if not client_id or not secret:
        raise BadOption("--introspection-client takes ID:SECRET")
    return Client(client_id, secret)
