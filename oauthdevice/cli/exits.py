"""How a command can end: the exit statuses (docs/cli.md), and which error has which."""

from enum import IntEnum


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    ERROR = 1
    USAGE = 2
    DENIED = 3
    EXPIRED = 4
    NOT_SIGNED_IN = 5
    NETWORK = 6
    HANGUP = 129
    CANCELLED = 130
    TERMINATED = 143


class Ended(BaseException):
    """A signal ends the program, which first puts the terminal and its files in order."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit = Exit(128 + number)


class Failure(Exception):
    """A command cannot go on. `error` is a word for programs, the message one line for people."""

    def __init__(self, exit_: Exit, error: str, message: str) -> None:
        super().__init__(message)
        self.exit = exit_
        self.error = error


def not_signed_in(message: str) -> Failure:
    """With the way on."""
    return Failure(Exit.NOT_SIGNED_IN, "not_signed_in", f"{message} Sign in with: oauthdevice login")


def failure_of(error: BaseException) -> Failure | None:
    """What to tell of an error; None for one that is a fault of ours."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Failure(Exit.CANCELLED, "cancelled", "Cancelled.")
    if isinstance(error, Ended):
        return Failure(error.exit, "cancelled", "Ended by a signal.")
    if isinstance(error, ModuleNotFoundError):
        message = f"{error.name} is missing: pip install 'oauthdevice[cli]'"
        return Failure(Exit.ERROR, "not_installed", message)
    if isinstance(error, OSError):
        return Failure(Exit.ERROR, "file", f"{error.strerror or error}: {error.filename or '-'}")
    return _failure_of_sign_in(error)


def _failure_of_sign_in(error: BaseException) -> Failure | None:
    # Whoever raised one of these has imported it.
    from .. import client

    if isinstance(error, client.AccessDenied):
        return Failure(Exit.DENIED, error.error, "The request was denied in the browser.")
    if isinstance(error, client.CodeExpired):
        return Failure(Exit.EXPIRED, error.error, "The code ran out before anybody decided. Start again.")
    if isinstance(error, client.InvalidToken | client.InvalidGrant):
        failure = not_signed_in("The server has ended this session.")
        failure.error = error.error
        return failure
    if isinstance(error, client.InsecureAddress):
        hint = "Only https is safe; --insecure allows http."
        return Failure(Exit.USAGE, "insecure_address", f"{error}. {hint}")
    if isinstance(error, client.RateLimited):
        seconds = error.retry_after_seconds
        when = f" Try again in {seconds:.0f} seconds." if seconds else ""
        return Failure(Exit.ERROR, error.error, f"The server is asked too often.{when}")
    if isinstance(error, client.Unreachable):
        return Failure(Exit.NETWORK, "network", f"The server cannot be reached: {error}")
    if isinstance(error, client.Refused):
        return Failure(Exit.ERROR, error.error, f"The server refused: {error}")
    if isinstance(error, client.DeviceLoginError):
        return Failure(Exit.ERROR, "server", f"This does not work with that server: {error}")
    return None
