"""The generator's HTTP: requests that a real parser reads, answers however they arrive."""

from __future__ import annotations

import json
from typing import Any

import httptools
import pytest

from benchmarks.reference_servers import BODY, BareResponder
from benchmarks.wire import Reply, ReplyReader, RequestTemplate, whole_output


class _Seen:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def on_message_begin(self) -> None:
        self.bodies.append(b"")

    def on_body(self, body: bytes) -> None:
        self.bodies[-1] += body


def parse(data: bytes) -> tuple[Any, list[dict[str, list[float]]]]:
    seen = _Seen()
    parser = httptools.HttpRequestParser(seen)
    parser.feed_data(data)
    return parser, [json.loads(body) for body in seen.bodies]


def test_distinct_requests_differ_in_the_first_number_only() -> None:
    template = RequestTemplate("localhost:1", "/app/predict", [9.0, 2.0, 3.5])
    template.start_at(999_999)
    parser, bodies = parse(b"".join(template.distinct() for _ in range(3)))
    assert parser.get_method() == b"POST"
    assert len({body["input"][0] for body in bodies}) == 3
    assert all(body["input"][1:] == [2.0, 3.5] for body in bodies)


def test_requests_of_different_runs_differ() -> None:
    template = RequestTemplate("localhost:1", "/app/predict", [0.0])
    first = {template.distinct() for _ in range(5)}
    template.start_at(5)
    assert not first & {template.distinct() for _ in range(5)}


def test_the_same_request_stays_the_same() -> None:
    template = RequestTemplate("localhost:1", "/app/predict", [0.0, 1.0])
    before = template.same
    template.distinct()
    assert template.same == before
    assert parse(before)[1] == [{"input": [0.0, 1.0]}]


def test_an_answer_is_read_once_its_head_is_complete() -> None:
    read = ReplyReader().read
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    for length in range(len(data) - 2):
        assert read(data[:length]) is None
    reply = read(data + b"HTTP/1.1 200 OK")
    assert reply is not None
    assert (reply.size, reply.good, reply.default) == (len(data), True, False)


def test_status_and_default_are_told_apart() -> None:
    default = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-clipper-default: slo\r\n\r\n"
    failed = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
    # A header's value that looks like the name is none.
    innocent = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nvary: x-clipper-default:\r\n\r\n"
    replies = [ReplyReader().read(data) for data in (default, failed, innocent)]
    assert [(r.good, r.default) for r in replies if r] == [
        (True, True),
        (False, False),
        (True, False),
    ]


def test_a_head_that_was_seen_is_read_the_same_again() -> None:
    read = ReplyReader().read
    good = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    bad = b"HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 2\r\nx-clipper-default: slo\r\n\r\n"
    for body in (b"{}", b"[]", b""):
        assert read(good + body) == Reply(len(good) + 2, True, False)
        assert read(bad + body) == Reply(len(bad) + 2, False, True)
        assert read(good[:-1]) is None


def test_an_answer_of_unknown_length_is_refused() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        ReplyReader().read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")


class _Transport:
    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def test_the_bare_responder_answers_each_request_however_it_is_cut() -> None:
    responder, transport = BareResponder(), _Transport()
    responder.connection_made(transport)  # type: ignore[arg-type]
    request = RequestTemplate("h", "/a/predict", [1.0]).same
    responder.data_received(request[:20])
    assert not transport.written
    responder.data_received(request[20:])
    responder.data_received(request)
    reply = ReplyReader().read(transport.written)
    assert reply is not None
    assert len(transport.written) == 2 * reply.size
    assert transport.written.endswith(BODY)


def test_a_whole_output_is_read_from_an_answer_whether_it_is_a_number_or_text() -> None:
    answers = [
        b'{"query_id":7,"output":123456789012,"default":false}',
        b'{"query_id":7,"output":"42","default":false}',
        b'{"query_id":7,"output":1.5,"default":false}',
    ]
    assert [whole_output(answer) for answer in answers] == [123456789012, 42, None]
