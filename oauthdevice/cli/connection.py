"""The connection to a server, as the environment wants it: through which proxy, trusting which certificates."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import getproxies

import httpx

from ..client import DeviceLogin
from .exits import Exit, Failure


@contextmanager
def login_at(host: str, client_id: str, **options: Any) -> Iterator[DeviceLogin]:
    """A DeviceLogin whose connections end with the block. Raises Failure where the environment allows none."""
    with _client() as http:
        yield DeviceLogin(host, client_id, http=http, **options)


def _client() -> httpx.Client:
    try:
        return httpx.Client()
    except OSError as error:
        # An ssl.SSLError too: what is there holds no certificate.
        raise _unusable(("SSL_CERT_FILE", "SSL_CERT_DIR"), error.strerror or "no certificate is there") from error
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise _unusable_proxy() from error


def _unusable_proxy() -> Failure:
    """No text of httpx's: the address of a proxy may hold a password."""
    found = getproxies()
    for scheme in ("http", "https", "all"):
        names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
        try:
            _try(found.get(scheme))
        except ImportError:
            return _unusable(names, "a SOCKS proxy needs: pip install 'httpx[socks]'")
        except (ValueError, httpx.InvalidURL):
            return _unusable(names, "it is no address of a proxy")
    return _unusable(("no_proxy", "NO_PROXY"), "it is no list of names and addresses")


def _try(proxy: str | None) -> None:
    if proxy:
        httpx.Client(proxy=proxy if "://" in proxy else f"http://{proxy}", trust_env=False).close()


def _unusable(names: tuple[str, ...], why: str) -> Failure:
    which = next((name for name in names if os.environ.get(name)), names[-1])
    return Failure(Exit.USAGE, "usage", f"{which} of the environment cannot be used: {why}.")
