"""A key ring for tests: the file that TEST_KEYRING names. Works across processes, unlike one in memory."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError


class Keyring(KeyringBackend):
    priority = 1

    @property
    def path(self) -> Path:
        return Path(os.environ["TEST_KEYRING"])

    def get_password(self, service: str, username: str) -> str | None:
        return self._all().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self.path.write_text(json.dumps({**self._all(), f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        left = self._all()
        if left.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError("not found")
        self.path.write_text(json.dumps(left))

    def _all(self) -> dict[str, str]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}


class Small(Keyring):
    """Takes a short secret, as Windows does, and no longer one."""

    def set_password(self, service: str, username: str, password: str) -> None:
        if len(password) > 40:
            raise OSError(1783, "The stub received bad data")
        super().set_password(service, username, password)


class Broken(Keyring):
    """Takes everything and gives nothing back."""

    def set_password(self, service: str, username: str, password: str) -> None:
        super().set_password(service, username, password)
        self.path.unlink()
