"""Records docs/cli-walk.txt: a person signs in, looks at the devices and signs out, on a real terminal (tmux).

Run from a checkout: `python -m tests.cli.walk`. It starts the server as `make serve` does, from a copy.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from ..installations import Server, Visitor, ask, copy_checkout, poll
from ..ports import free_port
from ..servers import CHECKOUT, wait_until

COLUMNS, LINES = 80, 38
TARGET = CHECKOUT / "docs" / "cli-walk.txt"
URL = "http://localhost:6543"


class Terminal:
    """A shell in tmux, on a server of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        program = folder / "oauthdevice"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m oauthdevice.cli "$@"\n')
        program.chmod(0o755)
        environ = {
            "HOME": str(folder),
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(CHECKOUT),
            "PYTHON_KEYRING_BACKEND": "tests.cli.file_keyring.Keyring",
            "TEST_KEYRING": str(folder / "keyring.json"),
            "OAUTHDEVICE_HOST": url,
            # As on the machine of somebody; which one this is, says nothing.
            "SSH_CONNECTION": "192.0.2.7 50000 192.0.2.8 22",
            "LANG": "C.UTF-8",
            "PS1": "$ ",
        }
        self._tmux = ["tmux", "-S", str(folder / "tmux.sock"), "-f", "/dev/null"]
        size = ["-x", str(COLUMNS), "-y", str(LINES)]
        subprocess.run(
            [*self._tmux, "new-session", "-d", *size, "env -i " + " ".join(f"'{k}={v}'" for k, v in environ.items())
             + " TERM=screen-256color sh -i"],
            check=True, cwd=folder,
        )  # fmt: skip

    def type(self, text: str) -> None:
        subprocess.run([*self._tmux, "send-keys", "-l", text], check=True)
        subprocess.run([*self._tmux, "send-keys", "Enter"], check=True)

    def wait_for(self, pattern: str) -> str:
        """The screen, once it shows this."""
        seen = ""

        def shows() -> bool:
            nonlocal seen
            seen = self.screen
            return bool(re.search(pattern, seen, re.MULTILINE))

        try:
            wait_until(shows, pattern)
        except TimeoutError as error:
            raise TimeoutError(f"{error} on this screen:\n{seen}") from error
        return seen

    def run(self, command: str, shown: str) -> None:
        """Until the next prompt, which comes after what is to be shown."""
        self.type(command)
        self.wait_for(rf"(?s:.*^{shown}\n\$\Z)")

    @property
    def screen(self) -> str:
        done = subprocess.run([*self._tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True)
        return "\n".join(line.rstrip() for line in done.stdout.rstrip().splitlines())

    def clear(self) -> None:
        self.type("clear")
        wait_until(lambda: self.screen == "$", "an empty screen")

    def end(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False)


def demo_server(folder: Path) -> Server:
    """What `make serve` starts, on a port that is free."""
    checkout = copy_checkout(folder / "checkout")
    ini, port = checkout / "development.ini", free_port()
    ini.write_text(ini.read_text().replace("localhost:6543", f"localhost:{port}"))
    return Server(ini, f"http://localhost:{port}", PYTHONPATH=str(checkout))


def walk(terminal: Terminal, server: Server) -> list[str]:
    """The screens of the story."""
    found = re.search(r"Sign in as (\S+) with the password (\S+)", server.printed)
    assert found is not None
    visitor = Visitor(server.url)
    visitor.sign_in(found[1], found[2])
    other = ask(server.url)
    visitor.approve(other["user_code"])
    assert poll(server.url, other).ok

    screens = []
    terminal.type("oauthdevice login --device-label 'build server'")
    waiting = terminal.wait_for(r"Waiting for .* left")
    screens.append(waiting)
    code = re.search(r"Enter this code: (\S+)", waiting)
    assert code is not None
    assert visitor.approve(code[1]).json() == {"status": "approved"}
    terminal.wait_for(r"^  stored .*\n\$\Z")
    screens.append(terminal.screen)
    terminal.clear()
    terminal.run("oauthdevice status", r"session +valid")
    terminal.run("oauthdevice devices list", r"\(no name\)[^\n]*")
    terminal.run("oauthdevice devices revoke --all", r"Ended: [^\n]*")
    terminal.run("oauthdevice logout", r"Signed out of [^\n]*")
    terminal.run("oauthdevice whoami; echo $?", "5")
    screens.append(terminal.screen)
    return screens


def record() -> str:
    """The text of docs/cli-walk.txt."""
    with tempfile.TemporaryDirectory(prefix="walk-") as name:
        folder = Path(name)
        server = demo_server(folder)
        server.start()
        terminal = Terminal(folder, server.url)
        try:
            terminal.wait_for(r"^\$$")
            screens = walk(terminal, server)
        finally:
            terminal.end()
            server.stop()
    text = f"\n{'-' * COLUMNS}\n".join(screens)
    return text.replace(server.url, URL) + "\n"


if __name__ == "__main__":
    assert shutil.which("tmux"), "tmux is not installed"
    TARGET.write_text(record(), "utf-8")
    print(f"written: {TARGET}")
