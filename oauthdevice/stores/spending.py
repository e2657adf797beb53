"""What may be used once, on Redis: one command, and another where it was used."""

import secrets

import redis


def spend(client: redis.Redis, name: str, seconds: int) -> bool:
    """True for the one caller who is the first. `name` is remembered for so long.

    Where the answer to the first was lost, the client of Redis asks again, and finds its own name there.
    """
    caller = secrets.token_hex(8)
    return bool(client.set(name, caller, nx=True, ex=seconds)) or client.get(name) == caller
