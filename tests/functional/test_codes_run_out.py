"""Two devices would get one user_code: another is drawn, a bounded number of times; then it is 503 and no more."""

from ..conftest import WorldMaker
from ..factories import CODE, World, keys_in


def draws(world: World, *drawn: str) -> list[int]:
    """Let these codes be drawn, the last one for ever; the lengths that were asked for."""
    asked: list[int] = []

    def draw(length: int) -> str:
        asked.append(length)
        return drawn[min(len(asked), len(drawn)) - 1]

    world.services.device_flow._draw_user_code = draw
    return asked


def test_a_taken_one_is_drawn_again(world: World) -> None:
    draws(world, "BCDFGHJK")
    first = world.device().ask()
    draws(world, "BCDFGHJK", "BCDFGHJK", "LMNPQRST")
    second = world.device().ask()
    assert (first.user_code, second.user_code) == ("BCDF-GHJK", "LMNP-QRST")
    world.person().allow(second.user_code)
    assert second.poll().status_int == 200
    assert first.poll().json["error"] == "authorization_pending"


def test_no_free_one_is_503_and_leaves_nothing(make: WorldMaker) -> None:
    world = make()
    draws(world, "BCDFGHJK")
    first = world.device().ask()
    kept = [key for key in keys_in(world.redis) if ":limit" not in key]
    asked = draws(world, "BCDFGHJK")
    answer = world.browser().post(CODE, {"client_id": "difyctl"}, status=503)
    assert answer.json["error"] == "temporarily_unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert len(asked) == 5
    assert [key for key in keys_in(world.redis) if ":limit" not in key] == kept
    assert first.poll().json["error"] == "authorization_pending"
    draws(world, "LMNPQRST")
    assert world.device().ask().user_code == "LMNP-QRST"
