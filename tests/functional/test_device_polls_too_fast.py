"""Polling that heals: slow_down grows, is bounded, and never punishes a client that listens."""

from ..factories import Device, World


def told(device: Device) -> tuple[str, int]:
    answer = device.poll()
    assert answer.status_int == 400
    assert "WWW-Authenticate" not in answer.headers
    return answer.json["error"], answer.json["interval"]


class TestADevicePolls:
    def test_the_first_poll_may_come_at_once(self, world: World) -> None:
        assert told(world.device().ask()) == ("authorization_pending", 5)

    def test_who_waits_the_interval_is_never_slowed(self, world: World) -> None:
        device = world.device().ask()
        for _ in range(20):
            assert told(device) == ("authorization_pending", 5)
            world.clock.pass_seconds(5)

    def test_a_fifth_of_the_interval_is_forgiven(self, world: World) -> None:
        device = world.device().ask()
        told(device)
        world.clock.pass_seconds(4.05)
        assert told(device) == ("authorization_pending", 5)

    def test_slow_down_adds_five_seconds_for_good(self, world: World) -> None:
        device = world.device().ask()
        told(device)
        assert told(device) == ("slow_down", 10)
        world.clock.pass_seconds(10)
        assert told(device) == ("authorization_pending", 10)
        world.clock.pass_seconds(5)
        assert told(device) == ("slow_down", 15)

    def test_growth_stops_at_a_minute(self, world: World) -> None:
        device = world.device().ask()
        told(device)
        assert [told(device)[1] for _ in range(14)] == [10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 60, 60, 60]

    def test_a_refused_poll_does_not_push_the_next_one_away(self, world: World) -> None:
        device = world.device().ask()
        told(device)
        for _ in range(3):
            world.clock.pass_seconds(1)
            assert told(device)[0] == "slow_down"
        world.clock.pass_seconds(1.05)
        assert told(device) == ("authorization_pending", 20)

    def test_who_listens_after_a_slip_is_never_slowed_again(self, world: World) -> None:
        device = world.device().ask()
        told(device)
        world.clock.pass_seconds(2)
        _, interval = told(device)
        for _ in range(10):
            world.clock.pass_seconds(interval)
            error, interval = told(device)
            assert (error, interval) == ("authorization_pending", 10)

    def test_a_decided_code_is_never_slowed(self, world: World) -> None:
        allowed, denied, person = world.device().ask(), world.device().ask(), world.person()
        for device in (allowed, denied):
            told(device)
            assert told(device)[0] == "slow_down"
        person.allow(allowed.user_code)
        person.deny(denied.user_code)
        assert allowed.poll().status_int == 200
        assert denied.poll().json["error"] == "access_denied"

    def test_the_original_dialect_is_slowed_alike(self, world: World) -> None:
        device = world.device().ask()
        device.poll_original()
        assert device.poll_original().json["error"] == "slow_down"
