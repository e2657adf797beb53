"""The real server with one fault: it kills itself at a chosen step of the next redemption.

`paste.app_factory = tests.crashing_server:main` in an ini; a file beside it says at which step.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oauthdevice
from oauthdevice.stores.redis import RedisAuthorizationStore
from oauthdevice.stores.sessions import SQLSessionStore

# Steps: the lease is taken, the token is committed, the record is consumed.
STEPS = ("lease", "mint", "consume")


def main(global_config: dict[str, str], **options: str) -> Any:
    order = Path(global_config["here"]) / "die-after"
    _die_after(order, SQLSessionStore, "mint", lambda *_: "mint")
    _die_after(order, RedisAuthorizationStore, "swap", _step_of_swap)
    return oauthdevice.main(global_config, **options)


def _step_of_swap(_store: Any, _seen: Any, new: Any, **_: Any) -> str:
    return {"redeeming": "lease", "consumed": "consume"}.get(new.state.value, "")


def _die_after(order: Path, owner: type, name: str, step: Callable[..., str]) -> None:
    method = getattr(owner, name)

    def fatal(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if order.exists() and order.read_text() == step(*args, **kwargs):
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, fatal)
