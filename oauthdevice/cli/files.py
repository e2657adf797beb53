"""Where this program keeps what it remembers, and how a file is written there: whole or not at all, for us alone."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .exits import Exit, Failure

LOCK_SECONDS = 60


def folder() -> Path:
    """`$XDG_CONFIG_HOME/oauthdevice`, made with mode 0700."""
    base = os.environ.get("XDG_CONFIG_HOME") or (os.environ.get("APPDATA") if sys.platform == "win32" else None)
    # XDG: a path that is not absolute is to be ignored.
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".config"
    found = root / "oauthdevice"
    found.mkdir(mode=0o700, parents=True, exist_ok=True)
    if found.stat().st_mode & 0o077 and sys.platform != "win32":
        found.chmod(0o700)
    return found


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, mode 0600: a reader sees the old one or the new one, also after a crash."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        # mkstemp makes it 0600.
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time; the next one waits. Let go by the system when a process dies."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder() / f"{name}.lock", timeout=LOCK_SECONDS, mode=0o600):
            yield
    except Timeout:
        raise Failure(Exit.ERROR, "locked", f"Another process holds {name}.lock for too long.") from None
