"""Templates and static files: inside the package once installed, beside it in a checkout."""

from pathlib import Path

from pyramid.config import Configurator

PACKAGE = Path(__file__).parent


def includeme(config: Configurator) -> None:
    for name in ("templates", "static"):
        if not (PACKAGE / name).is_dir():
            config.override_asset(f"oauthdevice:{name}/", f"{PACKAGE.parent / name}/")
    config.commit()
