"""A body that ends before the length it was announced with is not taken for a whole one."""

import io
from typing import Any

import pytest
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import IterUnreader
from webob import Request, Response

from oauthdevice.schemas.body import BODY_MAX_BYTES, DROPPED_MAX_BYTES

from ..factories import CODE, World

BODY = b"client_id=difyctl&scope=full"


def send(world: World, **environ: Any) -> Response:
    request = Request.blank(CODE, method="POST", environ={"REMOTE_ADDR": "192.0.2.7"})
    request.environ.update({"wsgi.input": io.BytesIO(BODY), "CONTENT_TYPE": "application/x-www-form-urlencoded"})
    request.environ.update(environ)
    return request.get_response(world.app)


class Endless:
    """A body that never ends; how much of it was asked for at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        return b"x" * size


class TestLengths:
    def test_a_whole_body_is_taken(self, world: World) -> None:
        assert send(world, CONTENT_LENGTH=str(len(BODY))).status_int == 200

    def test_what_follows_the_body_is_not_read(self, world: World) -> None:
        assert send(world, CONTENT_LENGTH=str(len(b"client_id=difyctl"))).status_int == 200

    @pytest.mark.parametrize("missing", [1, 100])
    def test_a_body_that_ended_early_is_refused(self, world: World, missing: int) -> None:
        answer = send(world, CONTENT_LENGTH=str(len(BODY) + missing))
        assert answer.status_int == 400
        assert answer.json == {"error": "invalid_request", "error_description": "The body ended early."}

    @pytest.mark.parametrize("length", ["-1", "1e1", "0x10", " 5", "\N{ARABIC-INDIC DIGIT FIVE}"])
    def test_what_is_no_length_is_refused(self, world: World, length: str) -> None:
        answer = send(world, CONTENT_LENGTH=length)
        assert answer.status_int == 400
        assert answer.json == {"error": "invalid_request", "error_description": "The Content-Length is no number."}

    @pytest.mark.parametrize("length", ["16385", "9" * 30, "9" * 5000])
    def test_a_length_that_is_too_large_is_refused(self, world: World, length: str) -> None:
        assert send(world, CONTENT_LENGTH=length).status_int == 413

    def test_without_a_length_a_body_that_the_server_ends_is_read_and_bounded(self, world: World) -> None:
        """As in HTTP/2, where neither Content-Length nor Transfer-Encoding need be there."""
        ended = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
        assert send(world, **ended).status_int == 200
        assert send(world, **ended, **{"wsgi.input": io.BytesIO(BODY + b"&x=" + b"y" * 16_384)}).status_int == 413

    def test_without_a_length_the_body_of_a_chunked_request_is_read_and_bounded(self, world: World) -> None:
        chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
        assert send(world, **chunked).status_int == 200
        assert send(world, **chunked, **{"wsgi.input": io.BytesIO(BODY + b"&x=" + b"y" * 16_384)}).status_int == 413

    @pytest.mark.parametrize(
        "told", [{"wsgi.input_terminated": True}, {"HTTP_TRANSFER_ENCODING": "chunked"}, {"CONTENT_LENGTH": "9" * 12}]
    )
    def test_of_a_body_without_end_no_more_is_held_than_is_allowed(self, world: World, told: dict[str, Any]) -> None:
        """Nor read for ever: what is dropped is bounded as well."""
        endless = Endless()
        assert send(world, **{"CONTENT_LENGTH": "", "wsgi.input": endless, **told}).status_int == 413
        assert max(endless.asked) <= BODY_MAX_BYTES + 1
        assert sum(endless.asked) <= 2 * BODY_MAX_BYTES + DROPPED_MAX_BYTES


class TestABodyThatTheServerCannotRead:
    @pytest.mark.parametrize("sent", [BODY, b"5\r\nabcde", b"5\r\nabcdefgh", b"ffffff\r\nabc", b"0\r\nno trailer"])
    def test_of_gunicorn_chunks_that_are_none(self, world: World, sent: bytes) -> None:
        chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
        with pytest.raises((ParseException, OSError)):
            ChunkedReader(None, IterUnreader([sent])).read(16_385)
        answer = send(world, **chunked, **{"wsgi.input": ChunkedReader(None, IterUnreader([sent]))})
        assert answer.status_int == 400
        assert answer.json == {"error": "invalid_request", "error_description": "The body cannot be read."}

    @pytest.mark.parametrize("length", [str(len(BODY)), "99999"])
    def test_of_a_client_that_is_gone(self, world: World, length: str) -> None:
        class Gone:
            def read(self, _size: int) -> bytes:
                raise ConnectionResetError

        answer = send(world, CONTENT_LENGTH=length, **{"wsgi.input": Gone()})
        assert answer.status_int == 400
        assert answer.json == {"error": "invalid_request", "error_description": "The body cannot be read."}
