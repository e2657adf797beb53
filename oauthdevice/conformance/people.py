"""Who approves and denies: a command, a person at this terminal, or nobody."""

import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Protocol

from .requirements import NotTried

COMMAND_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody is to decide about. `verification_uri_complete` is "" where the server gives none."""

    user_code: str
    verification_uri: str
    verification_uri_complete: str


class Person(Protocol):
    """Decides at the server's own pages."""

    def decide(self, asked: Asked, approve: bool) -> None:
        """Returns when that was done, or is about to be. Raises NotTried."""


class Nobody:
    """Where nobody was named."""

    def decide(self, asked: Asked, approve: bool) -> None:  # noqa: ARG002  # nobody looks
        option = "--approve-with" if approve else "--deny-with"
        raise NotTried(f"needs a person: {option} COMMAND, or --interactive")


@dataclass(frozen=True, slots=True)
class Commands:
    """Programs that are called with the user_code, the verification_uri and the verification_uri_complete."""

    approve_with: str | None
    deny_with: str | None

    def decide(self, asked: Asked, approve: bool) -> None:
        command = self.approve_with if approve else self.deny_with
        if command is None:
            return Nobody().decide(asked, approve)
        name = "--approve-with" if approve else "--deny-with"
        told = [asked.user_code, asked.verification_uri, asked.verification_uri_complete]
        if any(word.startswith("-") or not word.isprintable() for word in told):
            # A program might take it for one of its options.
            raise NotTried(f"the server's codes or addresses are not fit for the command of {name}")
        words = [*shlex.split(command), *told]
        try:
            # The person who runs this names the program; what the server says comes as words of their own.
            done = subprocess.run(words, stdout=sys.stderr, check=False, timeout=COMMAND_SECONDS)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise NotTried(f"the command of {name} did not end in {COMMAND_SECONDS} s") from None
        except OSError as error:
            raise NotTried(f"the command of {name} does not run: {error.strerror}") from None
        if done.returncode:
            raise NotTried(f"the command of {name} ended with {done.returncode}")
        return None


class AtTerminal:
    """Asks whoever sits here to go to the page, and waits for Enter."""

    def decide(self, asked: Asked, approve: bool) -> None:
        verb = "APPROVE" if approve else "DENY"
        print(f"\nOpen {_shown(asked.verification_uri)}", file=sys.stderr)
        print(f"enter {_shown(asked.user_code)}", file=sys.stderr)
        print(f"and {verb}, then press Enter here (s and Enter: skip).", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("s", "skip"):
            raise NotTried("skipped by the person at the terminal")


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
