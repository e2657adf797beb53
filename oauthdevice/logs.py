"""Log lines as JSON, each with the id of the request that caused it. Named by dotted path in the ini."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from .domain.audit import request_id


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
