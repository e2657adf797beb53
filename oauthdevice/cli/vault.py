"""Where credentials lie: in the key ring of the system, or, where there is none, in a file for its owner alone."""

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from .book import Account
from .exits import Exit, Failure
from .files import folder, locked, write_private

SERVICE = "oauthdevice"
# A key ring may ask the person to unlock it, and one without anybody to ask may hang.
PROBE_SECONDS = 20

Credentials = Mapping[str, Any]


class Vault(Protocol):
    """Credentials by the key of an account."""

    name: str

    def get(self, key: str) -> Credentials | None: ...

    def put(self, key: str, credentials: Credentials) -> None: ...

    def delete(self, key: str) -> None: ...


class KeyringVault:
    """The key ring of the system."""

    name = "keyring"

    def get(self, key: str) -> Credentials | None:
        import keyring

        with _of_the_ring():
            found = keyring.get_password(SERVICE, key)
        return _checked(_read(found)) if found else None

    def put(self, key: str, credentials: Credentials) -> None:
        import keyring

        with _of_the_ring():
            keyring.set_password(SERVICE, key, json.dumps(credentials))

    def delete(self, key: str) -> None:
        import keyring
        from keyring.errors import PasswordDeleteError

        with _of_the_ring(), contextlib.suppress(PasswordDeleteError):
            keyring.delete_password(SERVICE, key)

    def works(self) -> bool:
        """Whether a secret that is put there comes back, and is gone once deleted."""
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.append(self._probe()), daemon=True)
        thread.start()
        thread.join(PROBE_SECONDS)
        return found == [True]

    def _probe(self) -> bool:
        key, secret = f"probe {secrets.token_hex(8)}", {"probe": secrets.token_hex(8)}
        try:
            self.put(key, secret)
            came_back = self.get(key) == secret
            self.delete(key)
            return came_back and self.get(key) is None
        except Exception:  # backends have errors of their own: one that raises any is not to be used
            return False


class FileVault:
    """`credentials.json`, mode 0600."""

    name = "file"

    def __init__(self) -> None:
        self.path = folder() / "credentials.json"

    def get(self, key: str) -> Credentials | None:
        found = self._all().get(key)
        return None if found is None else _checked(found, self.path)

    def put(self, key: str, credentials: Credentials) -> None:
        with locked("credentials"):
            write_private(self.path, json.dumps({**self._all(), key: dict(credentials)}, indent=2) + "\n")

    def delete(self, key: str) -> None:
        with locked("credentials"):
            left = {name: one for name, one in self._all().items() if name != key}
            if left:
                write_private(self.path, json.dumps(left, indent=2) + "\n")
            else:
                self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises Failure or OSError where nothing could be put."""
        with locked("credentials"):
            self._all()

    def _all(self) -> dict[str, Credentials]:
        try:
            return dict(_read(self.path.read_bytes(), self.path))
        except FileNotFoundError:
            return {}


def is_ring_insisted_on() -> bool:
    return os.environ.get("OAUTHDEVICE_STORAGE") == KeyringVault.name


def new_vault() -> Vault:
    """Where a new sign-in goes. Raises Failure where a key ring is insisted on and does not work."""
    wanted = os.environ.get("OAUTHDEVICE_STORAGE", "")
    if wanted not in ("", "keyring", "file"):
        raise Failure(Exit.USAGE, "usage", "OAUTHDEVICE_STORAGE is keyring or file.")
    if wanted != "file" and (ring := KeyringVault()).works():
        return ring
    if is_ring_insisted_on():
        raise Failure(Exit.ERROR, "keyring", "There is no key ring that works here.")
    return FileVault()


def vault_of(account: Account) -> Vault:
    """Where the credentials of an account are."""
    return KeyringVault() if account.storage == KeyringVault.name else FileVault()


@contextlib.contextmanager
def _of_the_ring() -> Iterator[None]:
    """Any error within is one Failure: backends have errors of their own."""
    try:
        yield
    except Exception as error:
        message = f"The key ring fails: {error} (OAUTHDEVICE_STORAGE=file does without)"
        raise Failure(Exit.ERROR, "keyring", message) from error


def _read(text: str | bytes, path: Path | None = None) -> Credentials:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or (path and not all(isinstance(one, dict) for one in found.values())):
        raise _unreadable(path)
    return found


def _checked(found: Credentials, path: Path | None = None) -> Credentials:
    """Raises Failure unless each member that is there is what we put."""
    members = [found.get(name) for name in ("access_token", "refresh_token", "expires_at")]
    if not all(one is None or isinstance(one, str) for one in members):
        raise _unreadable(path)
    try:
        is_moment = members[2] is None or datetime.fromisoformat(members[2]).tzinfo is not None
    except ValueError:
        is_moment = False
    if not is_moment:
        raise _unreadable(path)
    return found


def _unreadable(path: Path | None) -> Failure:
    what = f"{path} cannot be read; delete it and" if path else "The stored credentials cannot be read;"
    return Failure(Exit.ERROR, "file", f"{what} sign in again.")
