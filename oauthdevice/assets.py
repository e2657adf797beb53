"""Templates, static files and catalogues: inside the package once installed, beside it in a checkout.

An operator's own templates (`oauthdevice.templates`) win over ours of the same name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from jinja2 import BaseLoader, Environment, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.meta import find_referenced_templates
from pyramid.config import Configurator
from pyramid_jinja2 import PARENT_RELATIVE_DELIM

from .values import SettingsError

PACKAGE = Path(__file__).parent
SUFFIX = ".html.jinja2"
# Of a template: its text, the file it is in, and whether that is still what was read.
Source: TypeAlias = tuple[str, str | None, Callable[[], bool] | None]


def includeme(config: Configurator) -> None:
    for name in ("templates", "static"):
        if not (PACKAGE / name).is_dir():
            config.override_asset(f"oauthdevice:{name}/", f"{folder(name)}/")
    config.commit()
    own: str = config.registry["oauthdevice.settings"].templates
    if own:
        # Later overrides are asked first.
        config.override_asset("oauthdevice:templates/", f"{Path(own).resolve()}/")
        config.commit()
        _compile(config, Path(own))


def folder(name: str) -> Path:
    """Where the files of `templates`, `static` or `locales` are."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def own_templates(text: str) -> str:
    """A folder of templates, each of which stands in for ours of the same name.

    Names that begin with an underscore are the operator's own, for `include`.
    """
    if not Path(text).is_dir():
        raise ValueError("must be a folder")
    ours = {path.name for path in folder("templates").glob(f"*{SUFFIX}")}
    for path in sorted(Path(text).iterdir()):
        if path.name not in ours and not path.name.startswith((".", "_")):
            # Overriding nothing, it would be read by nobody, and its author would wonder.
            raise ValueError(f"{path.name} overrides nothing; there are: {', '.join(sorted(ours))}")
    return text


class _OursBeneath(BaseLoader):
    """The loader of pyramid_jinja2, where a template that extends its own name extends ours instead of itself."""

    def __init__(self, loader: BaseLoader) -> None:
        self._loader = loader

    def get_source(self, environment: Environment, template: str) -> Source:
        """`template` is a name and those of the templates that led to it, nearest first."""
        name, *led = template.split(PARENT_RELATIVE_DELIM)
        if led and name == led[0].rpartition("/")[2]:
            return self._loader.get_source(environment, str(folder("templates") / name))
        return self._loader.get_source(environment, template)


def _compile(config: Configurator, own: Path) -> None:
    """Read each of the operator's templates now, so that its faults stop the start. Raises SettingsError."""
    with config:
        environment = config.get_jinja2_environment()
        environment.loader = _OursBeneath(environment.loader)
        for path in sorted(own.glob(f"[!.]*{SUFFIX}")):
            name = f"oauthdevice:templates/{path.name}"
            try:
                environment.get_template(name)
                for used in find_referenced_templates(environment.parse(path.read_text("utf-8"))):
                    if used is not None:
                        environment.get_template(environment.join_path(used, name))
            except (TemplateError, OSError, UnicodeDecodeError) as error:
                raise SettingsError("oauthdevice.templates", f"{path.name}: {_told(error)}") from error


def _told(error: Exception) -> str:
    """One line."""
    if isinstance(error, TemplateNotFound):
        return f"there is no {str(error.message).partition(';')[0]}"
    line = f"line {error.lineno}: " if isinstance(error, TemplateSyntaxError) else ""
    return line + " ".join(str(getattr(error, "message", error)).split())
