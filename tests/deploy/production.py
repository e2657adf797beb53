"""The server of `production.ini` as an operator runs it: the file itself, filled in, and the secrets around it."""

import signal
import socket
import subprocess
from pathlib import Path

from ..factories import SECRET
from ..installations import BIN, Server
from ..ports import free_port
from ..servers import CHECKOUT, wait_until

INI = CHECKOUT / "production.ini"


def filled_in(public_url: str, port: int, **server: str) -> str:
    """The text of production.ini with the address that it asks for; `server` are options of [server:main]."""
    text = INI.read_text("utf-8")
    changes = {
        "oauthdevice.public_url =\n": f"oauthdevice.public_url = {public_url}\n",
        "bind = 127.0.0.1:6543\n": f"bind = 127.0.0.1:{port}\n",
    }
    for before, after in changes.items():
        assert text.count(f"\n{before}") == 1, before
        text = text.replace(f"\n{before}", f"\n{after}")
    for name, value in server.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name} =")]
        text = text.replace(f"\n{line}\n", f"\n{name} = {value}\n")
    return text


class ProductionServer(Server):
    """`pserve production.ini` with its secrets in the environment.

    `options` are lines of [app:main]; `port` is for one that takes another's place; `held` is a socket that
    listens already, handed over as systemd does.
    """

    def __init__(
        self,
        folder: Path,
        database_url: str,
        redis_url: str,
        *,
        public_url: str = "",
        options: str = "",
        programs: Path = BIN,
        port: int = 0,
        held: socket.socket | None = None,
        **server: str,
    ) -> None:
        self.port = held.getsockname()[1] if held else port or free_port()
        self._held = held
        ini = folder / "production.ini"
        text = filled_in(public_url or f"http://127.0.0.1:{self.port}", self.port, **server)
        ini.write_text(text.replace("oauthdevice.mode = production\n", f"oauthdevice.mode = production\n{options}\n"))
        super().__init__(ini, f"http://127.0.0.1:{self.port}", programs)
        self.environ |= {
            "OAUTHDEVICE_SECRET": SECRET,
            "OAUTHDEVICE_DATABASE_URL": database_url,
            "OAUTHDEVICE_REDIS_URL": redis_url,
        }

    def start(self) -> None:
        if self._held is None:
            super().start()
            return
        # sd_listen_fds(3): the first socket has the number 3, and the process is told its own number.
        script = 'exec 3<&"$0"; LISTEN_FDS=1 LISTEN_PID=$$ exec "$1" "$2"'
        number = self._held.fileno()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", script, str(number), self.programs / "pserve", self.ini.name],
                cwd=self.ini.parent,
                env=self.environ,
                stdout=log,
                stderr=log,
                pass_fds=[number],
            )
        self._wait_for_start()

    @property
    def workers(self) -> list[int]:
        """The ids of its worker processes."""
        pid = self._running.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def ask_to_stop(self) -> None:
        """SIGTERM, and no wait."""
        self._running.send_signal(signal.SIGTERM)

    def stop(self) -> int | None:
        """SIGTERM; the exit status."""
        if self._process is None:
            return None
        self.ask_to_stop()
        return self.exit_status(60)

    def exit_status(self, within_seconds: float) -> int:
        """Of the process that was asked to stop. Raises subprocess.TimeoutExpired."""
        status = self._running.wait(within_seconds)
        self._process = None
        return int(status)

    def wait_for_refusal(self) -> None:
        """Until nobody is let in any more."""
        wait_until(self._refuses, "new connections to be refused")

    def _refuses(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except ConnectionRefusedError:
            return True
        return False

    @property
    def _running(self):
        assert self._process is not None
        return self._process
