"""Templates, static files and catalogues: inside the package once installed, beside it in a checkout."""

from pathlib import Path

from pyramid.config import Configurator

PACKAGE = Path(__file__).parent


def includeme(config: Configurator) -> None:
    for name in ("templates", "static"):
        if not (PACKAGE / name).is_dir():
            config.override_asset(f"oauthdevice:{name}/", f"{folder(name)}/")
    config.commit()


def folder(name: str) -> Path:
    """Where the files of `templates`, `static` or `locales` are."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name
