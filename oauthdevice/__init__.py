"""oauthdevice: an OAuth 2.0 device authorization server (RFC 8628).

Nothing of the server is imported before one is made: `oauthdevice.client` and `oauthdevice.cli` are in
this package too, run where there is no server, and have to start at once.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyramid.config import Configurator
    from pyramid.router import Router

    from .settings import Settings
    from .wiring import Services

__all__ = ["includeme", "main", "make_app"]


def main(global_config: dict[str, str], **options: str) -> "Router":
    """The WSGI application of an ini file (`paste.app_factory`). Raises SettingsError on a bad setting."""
    from .settings import read_settings
    from .wiring import build_services

    settings = read_settings(options, global_config.get("__file__"))
    app = make_app(settings, build_services(settings), **options)
    if settings.mode == "development":
        from .development import prepare

        prepare(settings, global_config.get("__file__", "development.ini"))
    return app


def includeme(config: "Configurator") -> None:
    """The server inside another Pyramid application; see `oauthdevice.embedding`. Raises SettingsError."""
    from .embedding import embedded_settings, mount
    from .wiring import build_services

    settings = embedded_settings(config)
    mount(config, settings, make_app(settings, build_services(settings)))


def make_app(settings: "Settings", services: "Services", **options: Any) -> "Router":
    """The WSGI application over given services; `options` are Pyramid's own."""
    import linecache

    from pyramid.config import Configurator

    from .requests import settle

    config = Configurator(settings={"handle_exceptions": False, **options})
    config.registry["oauthdevice.settings"] = settings
    config.registry["oauthdevice.services"] = services
    config.include(".languages")
    config.include("pyramid_jinja2")
    config.include("cornice")
    config.include(".assets")
    config.include(".wiring")
    config.include(".execution")
    config.include(".security")
    config.include(".sso_cookies")
    config.include(".cors")
    config.include(".theme")
    config.include(".mail")
    config.include(".views")
    settle(config)
    # Pyramid has noted the source line of every declaration, and Python keeps the files it read for that: 1.4 MB.
    linecache.clearcache()
    return config.make_wsgi_app()
