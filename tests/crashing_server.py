"""The real server with one fault: its worker kills itself at a chosen call of a store.

`paste.app_factory = tests.crashing_server:main` in an ini. A file `die` beside it says at which call, counted from
1 since the file was there, or the first of which name, and whether before it or after; the file `calls` then names
each one. What a store's methods are, is read from the ports of the domain: a new one is among them by itself.
"""

import functools
import importlib
import inspect
import os
import pkgutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import oauthdevice
from oauthdevice import stores
from oauthdevice.domain import ports

DIE, CALLS = "die", "calls"


def main(global_config: dict[str, str], **options: str) -> Any:
    folder = Path(global_config["here"])
    for owner, name in store_methods():
        setattr(owner, name, _fatal(folder, getattr(owner, name)))
    application = oauthdevice.main(global_config, **options)
    # Workers are forked from here, and share no connection.
    application.registry["oauthdevice.services"].database.engine.dispose()
    return application


def store_methods() -> Iterator[tuple[type, str]]:
    """Every method of a port, on every class of a store that has it."""
    named = {name for port in vars(ports).values() if getattr(port, "_is_protocol", False) for name in vars(port)}
    for found in pkgutil.iter_modules(stores.__path__):
        if not found.ispkg:
            module = importlib.import_module(f"{stores.__name__}.{found.name}")
            for owner in vars(module).values():
                if inspect.isclass(owner) and owner.__module__ == module.__name__:
                    for name, method in list(vars(owner).items()):
                        if name in named and not name.startswith("_") and inspect.isfunction(method):
                            yield owner, name


def _fatal(folder: Path, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def fatal(*args: Any, **kwargs: Any) -> Any:
        if not (folder / DIE).exists():
            return method(*args, **kwargs)
        with (folder / CALLS).open("a+") as calls:
            calls.write(f"{method.__name__}\n")
            calls.seek(0)
            number = len(calls.readlines())
        _die_if_told(folder, number, method.__name__, "before")
        result = method(*args, **kwargs)
        _die_if_told(folder, number, method.__name__, "after")
        return result

    return fatal


def _die_if_told(folder: Path, number: int, name: str, when: str) -> None:
    if (folder / DIE).read_text() in (f"{when} {number}", f"{when} {name}"):
        (folder / DIE).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
