"""Answers of a server as checks read them: with distrust, and telling no secret."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# Members whose values are codes and tokens.
_TOLD_NAMES = 8


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `headers` are pairs, names in lower case; `url` is where it came from."""

    url: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """All values of one header with commas between; "" without any."""
        return ", ".join(value for key, value in self.headers if key == name.lower())

    @property
    def media_type(self) -> str:
        """Of the body, without parameters, in lower case."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @cached_property
    def members(self) -> Mapping[str, Any]:
        """The JSON object of the body; empty where it is none."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def error(self) -> str:
        """The OAuth error code; "" without one."""
        found = self.members.get("error")
        return found if isinstance(found, str) else ""

    @property
    def no_store(self) -> bool:
        """Whether `Cache-Control` has `no-store`."""
        return "no-store" in {part.strip().lower() for part in self.header("cache-control").split(",")}

    @property
    def told(self) -> str:
        """For people: status, error, and the names of what else it has; no value that could be a secret."""
        if self.error:
            return f"{self.status} {self.error[:60]}"
        if self.members:
            names = list(self.members)
            return f"{self.status} with {', '.join(names[:_TOLD_NAMES])}{', …' if len(names) > _TOLD_NAMES else ''}"
        return f"{self.status} {self.media_type or 'without a body'}"
