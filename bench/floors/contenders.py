"""The floors as contenders of a pending poll."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from urllib.parse import urlencode

import redis

from ..contenders import FORM, Command, Place, Request, Work
from ..wsgi_servers import granian
from . import KEY

# As large as a record of ours.
RECORD = "x" * 400
BODY = urlencode(
    {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "x" * 54, "client_id": "bench"}
)


class Floor:
    """One of `wsgi`, `pyramid`, `cornice`."""

    work = frozenset({Work.POLL})
    ready_path = "/token"

    def __init__(self, layer: str) -> None:
        self.name = f"bare {layer}"
        self._layer = layer

    def versions(self) -> Mapping[str, str]:
        return {} if self._layer == "wsgi" else {self._layer: version(self._layer)}

    def prepare(self, place: Place) -> None:
        with redis.Redis.from_url(place.redis_url) as client:
            record = {"record": RECORD, "issued_at": 0, "spacing": 4000, "next_poll": 0, "client": "bench"}
            client.hset(KEY, mapping=record)

    def command(self, place: Place) -> Command:
        environment = {"FLOOR_REDIS_URL": place.redis_url, "PYTHONWARNINGS": "ignore"}
        return granian(f"bench.floors.{self._layer}:application", place, environment)

    def requests(self, _work: Work, _place: Place, _count: int) -> Sequence[Request]:
        return [Request("/token", 400, body=BODY, headers=FORM)]
