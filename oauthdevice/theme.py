"""What an operator's settings make of the pages: name, logo, colours, a way to help; and the two files of it."""

from collections.abc import Callable
from dataclasses import dataclass

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from .brand import File, stylesheet
from .settings import Settings

# As of the other static files: the address changes with the content.
MAX_AGE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Brand:
    """What the frame of every page shows. A path is "" where there is no such file."""

    name: str
    support_url: str
    icon_path: str
    icon_type: str
    logo_path: str
    colours_path: str


def includeme(config: Configurator) -> None:
    settings: Settings = config.registry["oauthdevice.settings"]
    colours, logo = stylesheet(settings.brand_colour, settings.brand_colour_dark), settings.brand_logo
    files: dict[str, tuple[str, File]] = {}
    if colours:
        files["theme_colours"] = ("/static/theme/colours.css", File(colours.encode(), "text/css"))
    if logo is not None:
        files["theme_logo"] = ("/static/theme/logo", logo)
    # Below /static, and so before its view: where a proxy lets that through, it lets these through.
    for name, (path, file) in files.items():
        config.add_route(name, path)
        config.add_view(_server_of(file), route_name=name, request_method="GET")

    def brand(request: Request) -> Brand:
        paths = {name: request.route_path(name, _query=file.digest) for name, (_, file) in files.items()}
        icon_path = paths.get("theme_logo") or request.static_path("oauthdevice:static/icon.svg")
        return Brand(
            name=settings.brand_name,
            support_url=settings.support_url,
            icon_path=icon_path,
            icon_type=logo.media_type if logo else "image/svg+xml",
            # Beside another name our own sign would be out of place.
            logo_path=icon_path if logo or settings.brand_name == Settings.brand_name else "",
            colours_path=paths.get("theme_colours", ""),
        )

    config.add_request_method(brand, "brand", reify=True)


def _server_of(file: File) -> Callable[[Request], Response]:
    """A view of this file."""

    def serve(_: Request) -> Response:
        charset = "utf-8" if file.media_type == "text/css" else None
        response = Response(body=file.content, content_type=file.media_type, charset=charset)
        response.cache_control.max_age = MAX_AGE_SECONDS
        response.cache_control.public = True
        return response

    return serve
