"""The least that a pending poll can cost: one call of our script, in a bare view of each layer that we stand on."""

import os
from collections.abc import Callable
from typing import Any

import redis

from oauthdevice.stores.redis import read_script

KEY = "floor:{code}"


def one_script_call() -> Callable[[str], Any]:
    """Our poll script on a record of the size of ours, by redis-py as it comes; takes the client_id."""
    client = redis.Redis.from_url(os.environ["FLOOR_REDIS_URL"], decode_responses=True)
    touch = client.register_script(read_script("authorization_touch"))
    return lambda client_id: touch([KEY], [client_id, 0])
