"""Pages of a server as a browser without scripts reads them: the form where a person enters a code."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from .addresses import joined
from .answers import Answer

# Inputs that a person types into; what is absent is text.
TYPED = ("text", "tel", "search", "")


@dataclass
class Form:
    """`hidden` goes back as it came; `typed` are the names of the fields that a person fills in."""

    action: str
    method: str
    hidden: list[tuple[str, str]] = field(default_factory=list)
    typed: list[str] = field(default_factory=list)

    def filled(self, code: str) -> list[tuple[str, str]]:
        """With the code in the first field, or spread over several that take a part each."""
        if len(self.typed) == 1:
            return [*self.hidden, (self.typed[0], code)]
        size = -(-len(code) // len(self.typed))
        parts = [code[at : at + size] for at in range(0, size * len(self.typed), size)]
        return [*self.hidden, *zip(self.typed, parts, strict=True)]


def code_form(page: Answer) -> Form | None:
    """The first form of a page that is posted and has something to type; None without one."""
    reader = _Reader(page.url)
    reader.feed(page.text)
    return next((form for form in reader.forms if form.method == "post" and form.typed), None)


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._url = url
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "form":
            action = joined(self._url, told.get("action", ""))
            self.forms.append(Form(action, told.get("method", "get").lower()))
            self._inside = True
        elif tag == "input" and self._inside and told.get("name"):
            kind = told.get("type", "").lower()
            if kind in TYPED:
                self.forms[-1].typed.append(told["name"])
            elif kind == "hidden":
                self.forms[-1].hidden.append((told["name"], told.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
