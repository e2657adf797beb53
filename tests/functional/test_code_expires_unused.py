"""Nobody decides in time, or the device comes too late."""

from ..factories import APPROVE, DENY, LOOKUP, World, keys_in


class TestACodeExpires:
    def test_the_device_is_told(self, world: World) -> None:
        device = world.device().ask()
        world.clock.pass_seconds(899)
        assert device.poll().json["error"] == "authorization_pending"
        world.clock.pass_seconds(1)
        answer = device.poll()
        assert (answer.status_int, answer.json["error"]) == (400, "expired_token")

    def test_an_approval_that_nobody_fetched_expires_too(self, world: World) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        world.clock.pass_seconds(900)
        assert device.poll().json["error"] == "expired_token"

    def test_later_the_code_is_forgotten(self, world: World) -> None:
        device = world.device().ask()
        world.clock.pass_seconds(900 + 601)
        assert device.poll().json["error"] == "invalid_grant"
        assert device.poll_original().json["error"] == "expired_token"
        assert not keys_in(world.redis, "*:authorization:*")

    def test_the_person_is_told(self, world: World) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        world.clock.pass_seconds(900)
        for path in (APPROVE, DENY):
            answer = person.post(path, device.user_code)
            assert (answer.status_int, answer.json["error"]) == (404, "expired_or_unknown")
        page = person.open(device.user_code)
        assert page.status_int == 404
        assert "expired" in page.text

    def test_it_expires_while_the_consent_page_is_open(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        page = person.open(device.user_code)
        world.clock.pass_seconds(900)
        answer = page.form.submit("decision", value="approve", status=404)
        assert "expired" in answer.text
        assert device.poll().json["error"] == "expired_token"

    def test_lookup_tells_the_true_seconds(self, world: World) -> None:
        device = world.device().ask()
        world.clock.pass_seconds(300)
        answer = device.http.get(LOOKUP, {"user_code": device.user_code}).json
        assert answer == {"valid": True, "expires_in_remaining": answer["expires_in_remaining"], "client_id": "difyctl"}
        assert 598 <= answer["expires_in_remaining"] <= 600
        world.clock.pass_seconds(600)
        unknown = {"valid": False, "expires_in_remaining": 0, "client_id": None}
        assert device.http.post(LOOKUP, {"user_code": device.user_code}).json == unknown
        assert device.http.post_json(LOOKUP, {"user_code": "BCDF-GHJK"}).json == unknown
        assert device.http.get(LOOKUP, {"user_code": "not a code"}).json == unknown

    def test_a_client_may_have_its_own_lifetime_and_interval(self, make, tmp_path) -> None:
        ini = tmp_path / "tv.ini"
        ini.write_text(
            "[client:tv]\nname = TV\nscopes = apps:run\ndevice_code_lifetime_seconds = 60\ninterval_seconds = 2\n"
            "access_token_lifetime_seconds = 3600\n"
        )
        world = make(ini_file=str(ini))
        device = world.device("tv").ask()
        assert (device.answer["expires_in"], device.answer["interval"]) == (60, 2)
        world.person().allow(device.user_code)
        answer = device.poll().json
        assert (answer["expires_in"], answer["scope"]) == (3600, "apps:run")
        late = world.device("tv").ask()
        world.clock.pass_seconds(60)
        assert late.poll().json["error"] == "expired_token"
