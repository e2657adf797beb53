"""`python -m tests.browser.screenshot FILE`: the consent page as a picture, for the documentation."""

import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from oauthdevice.stores.migrate import upgrade

from ..factories import PASSWORD, make_world
from ..servers import serve_in_thread
from .conftest import TIMEOUT_MILLISECONDS, Visitor, open_chromium

EMAIL = "alice@example.com"
# Where person and device are, as the server sees it.
ADDRESS = "198.51.100.23"


def main(target: Path) -> None:
    """Write what Alice sees whose laptop has just asked."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        database_url = f"sqlite:///{folder}/oauthdevice.sqlite"
        upgrade(database_url)
        world = make_world(database_url, "embedded://", public_url=url)
        world.services.accounts.add(EMAIL, "Alice Archer", PASSWORD)
        device = world.device("difyctl", ADDRESS).ask(device_label="alice's laptop", scope="full")
        world.clock.pass_seconds(40)

        def application(environ: dict[str, Any], start_response: Any) -> Any:
            return world.app({**environ, "REMOTE_ADDR": ADDRESS}, start_response)

        with serve_in_thread(application, listener), open_chromium() as browser:
            page = browser.new_page(
                base_url=url, viewport={"width": 1280, "height": 900}, color_scheme="light", reduced_motion="reduce"
            )
            page.set_default_timeout(TIMEOUT_MILLISECONDS)
            visitor = Visitor(page, EMAIL)
            visitor.open(device.user_code)
            visitor.sees("Allow difyctl to use your account?")
            target.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=target)
        world.services.redis.close()
        world.services.database.engine.dispose()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
