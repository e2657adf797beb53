"""gunicorn as `production.ini` starts it: its processes count together for `/metrics`.

prometheus_client decides when it is first imported whether processes share their numbers. `pserve` makes the server
before it loads the application, so that is decided here; nothing that this imports may import it.
"""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from gunicorn.app import pasterapp

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "oauthdevice-metrics-"
# The numbers are written at each request: into memory, where it is to be had, not onto a disk.
_MEMORY = Path("/dev/shm")  # noqa: S108  # the folder in it has a name of its own and is for us alone


def make_server(global_config: dict[str, str], **options: str) -> Callable[[Any], None]:
    """A `paste.server_factory`: gunicorn's own server, with the same `options`.

    Where gunicorn is to change its `user`, that one could not write into a folder of ours: nothing is shared then
    but what PROMETHEUS_MULTIPROC_DIR names.
    """
    if not options.get("user"):
        share_numbers()
    return partial(pasterapp.serve, global_conf=global_config, **options)


@cache
def share_numbers() -> None:
    """What is forked from here on counts in one new folder, which goes with this process.

    Called again it does nothing, and neither where the operator names a folder or it is too late.
    """
    given = os.environ.get(VARIABLE, "")
    # After SIGUSR2 gunicorn is executed anew with the variable of the process that it replaces, whose folder goes soon.
    ours = Path(given).name.startswith(_PREFIX)
    if (given and not ours) or "prometheus_client" in sys.modules:
        return
    in_memory = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=_MEMORY if in_memory else None)
    os.environ[VARIABLE] = folder
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: str, owner: int) -> None:
    # The workers inherit what is to be done at the end, and end earlier.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
