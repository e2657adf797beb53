"""Whether a browser of this machine can be opened, and why not."""

import sys
from collections.abc import Mapping
from pathlib import Path

# What Docker and Podman leave in a container.
MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


def why_not(wanted: bool | None, environ: Mapping[str, str], is_terminal: bool) -> str | None:
    """The reason for which no browser is opened; None where one can be. `wanted`: --browser or --no-browser."""
    if wanted is False:
        return "--no-browser"
    if sys.platform == "win32":
        return "on Windows, Enter is not waited for"
    if not is_terminal:
        return "this is no terminal"
    if wanted is True:
        return None
    if environ.get("OAUTHDEVICE_NO_BROWSER"):
        return "OAUTHDEVICE_NO_BROWSER is set"
    if any(environ.get(name) for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")):
        return "this is an SSH session"
    if environ.get("CI"):
        return "this is a CI job"
    if _is_container(environ):
        return "this is a container"
    has_display = any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME"))
    if sys.platform != "darwin" and not has_display:
        return "there is no display"
    return None


def open_page(address: str) -> bool:
    """Whether a browser took it."""
    import webbrowser

    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False


def _is_container(environ: Mapping[str, str]) -> bool:
    if environ.get("container") or environ.get("KUBERNETES_SERVICE_HOST"):
        return True
    return any(mark.exists() for mark in MARKS)
