"""Log lines as JSON, each with the id of the request that caused it. Named by dotted path in the ini."""

import json
import logging
import uuid
from datetime import UTC, datetime
from typing import Any

from pyramid.config import Configurator
from pyramid.events import NewRequest

from .domain.audit import request_id


def includeme(config: Configurator) -> None:
    config.add_subscriber(_name_request, NewRequest)


def _name_request(event: NewRequest) -> None:
    """A new id for each request, told in its answer. One that the client sends is not believed."""
    name = uuid.uuid4().hex
    request_id.set(name)
    event.request.add_response_callback(lambda _, response: response.headers.update({"X-Request-ID": name}))


class JSONFormatter(logging.Formatter):
    """One JSON object a line: at, level, logger, message, request_id; of an audit event its fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get() is not None:
            line["request_id"] = request_id.get()
        line |= getattr(record, "audit", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
