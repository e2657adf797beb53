"""A dump of Redis and of the database, taken at every step, holds no code, token or password."""

import base64
import re
from pathlib import Path

from redis import Redis

from ..factories import APPROVE, PASSWORD, TOKEN, World


def everything_in(store: Redis) -> bytes:
    """Every key with what it holds."""
    found = []
    for key in store.scan_iter():
        found.append(key)
        kind = store.type(key)
        if kind == "hash":
            found += [part for pair in store.hgetall(key).items() for part in pair]
        elif kind == "string":
            found.append(store.get(key))
        else:
            raise AssertionError(f"{key} is a {kind}: teach this test to read it")
    return "\n".join(found).encode()


def everything_in_files(folder: Path) -> bytes:
    """The SQLite file with its journal."""
    return b"\n".join(path.read_bytes() for path in folder.glob("oauthdevice.sqlite*"))


def forms(secret: str) -> set[bytes]:
    """How a secret might be written: as it is, without its dash or prefix, in base64, in hexadecimal."""
    plain = {secret, secret.replace("-", ""), secret.lower(), re.sub(r"^(dc|dfoa|dfor)_", "", secret)}
    return {form.encode() for form in plain} | {
        base64.b64encode(secret.encode()).rstrip(b"="),
        secret.encode().hex().encode(),
    }


def test_nothing_lies_in_clear(make, sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    ini = tmp_path / "clients.ini"
    ini.write_text("[client:difyctl]\nname = difyctl\nscopes = full\nrefresh = on\n")
    world: World = make(database_url=sqlite_url, redis_url=redis_url, ini_file=str(ini))
    # Compression would hide what is there.
    world.redis.config_set("rdbcompression", "no")
    dump_file = Path(world.redis.config_get("dir")["dir"]) / "dump.rdb"
    secrets: set[str] = {PASSWORD}

    def search(step: str) -> None:
        world.redis.save()
        dump = dump_file.read_bytes() + everything_in(world.redis) + everything_in_files(tmp_path)
        assert len(dump) > 10_000
        for secret in secrets:
            for form in forms(secret):
                assert form not in dump, f"{step}: found {form!r}"

    device, denied, person = world.device(), world.device(), world.person()
    device.ask(device_label="laptop")
    denied.ask()
    secrets |= {device.user_code, device.device_code, denied.user_code, denied.device_code}
    search("asked")
    device.poll()
    device.poll()
    search("polled")
    person.sign_in()
    secrets |= {person.browser.cookies[name].strip('"') for name in person.browser.cookies}
    secrets.add(person.csrf_token())
    search("signed-in")
    person.open(device.user_code)
    search("opened")
    person.post(APPROVE, device.user_code)
    person.deny(denied.user_code)
    search("decided")
    first = device.poll().json
    token = first["access_token"]
    denied.poll()
    secrets |= {token, first["refresh_token"]}
    search("redeemed")
    assert device.poll().json["access_token"] == token
    form = {"grant_type": "refresh_token", "client_id": "difyctl", "refresh_token": first["refresh_token"]}
    second = device.http.post(TOKEN, form, status=200).json
    secrets |= {second["access_token"], second["refresh_token"]}
    search("refreshed")
    device.account(token)
    search("used")
    world.clock.pass_seconds(40)
    device.poll()
    search("replayed")


def test_nothing_is_logged_in_clear(make, caplog) -> None:
    world: World = make()
    caplog.set_level("DEBUG")
    device, person = world.device().ask(device_label="laptop"), world.person()
    device.poll()
    person.allow(device.user_code)
    token = device.poll().json["access_token"]
    device.account(token)
    world.clock.pass_seconds(40)
    device.poll()
    device.http.get(f"/device?user_code={device.user_code}")
    assert "replayed" in caplog.text
    for secret in (device.user_code, device.device_code, token, PASSWORD):
        for form in forms(secret):
            assert form.decode() not in caplog.text
