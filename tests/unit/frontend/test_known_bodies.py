"""Bodies that were decoded before are found by their bytes, and mean what they meant."""

from __future__ import annotations

import json
import struct

import pytest

from clipper.datatypes import InputType
from clipper.frontend import decoding
from clipper.frontend.responses import Response
from clipper.query.query import PredictRequest
from tests.unit.query.support import Container

from .support import Frontend


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Collect the bodies that are decoded."""
    bodies: list[bytes] = []
    real = decoding.decode_predict

    def counted(input_type: InputType, body: bytes) -> object:
        bodies.append(body)
        return real(input_type, body)

    monkeypatch.setattr(decoding, "decode_predict", counted)
    return bodies


def ask(frontend: Frontend, body: bytes, app: str = "app") -> PredictRequest | Response:
    application = frontend.applications.get(app)
    assert application is not None
    begun = frontend.predictions.begin(application, body)
    frontend.clock.settle()
    return begun


def output(begun: PredictRequest | Response) -> object:
    assert isinstance(begun, Response)
    assert begun.status == 200, begun.body
    return json.loads(begun.body)["output"]


def compute(frontend: Frontend, container: Container, body: bytes) -> None:
    assert isinstance(ask(frontend, body), PredictRequest)
    container.answer()


def test_only_the_first_two_of_equal_bodies_are_decoded(decoded: list[bytes]) -> None:
    frontend = Frontend()
    compute(frontend, frontend.serve(), b'{"input":"x"}')
    answers = [output(ask(frontend, b'{"input":"x"}')) for _ in range(3)]

    assert answers == ["out:x"] * 3
    assert decoded == [b'{"input":"x"}'] * 2, "the miss and the first hit"
    assert frontend.observer.counts["hit"] == 3


def test_a_known_body_whose_output_was_evicted_is_computed_again() -> None:
    frontend = Frontend()
    container = frontend.serve()
    compute(frontend, container, b'{"input":"x"}')
    ask(frontend, b'{"input":"x"}')
    frontend.configure(delete_models=[container.replica.model])
    frontend.configure(models=[frontend.model_record()])

    assert isinstance(ask(frontend, b'{"input":"x"}'), PredictRequest)
    assert container.inputs[-1] == [b"x"]


def test_the_same_bytes_are_another_input_for_an_application_of_another_type() -> None:
    frontend = Frontend()
    body = b'{"input":[1,2]}'
    for name, version, input_type in (
        ("d", "1", InputType.DOUBLES),
        ("i", "2", InputType.INTEGERS),
    ):
        frontend.configure(
            [frontend.app_record(name, input_type=input_type)],
            [frontend.model_record(version, name, input_type=input_type)],
            {name: (name,)},
            {name: version},
        )
    doubles = frontend.container("1", "d", InputType.DOUBLES)
    integers = frontend.container("2", "i", InputType.INTEGERS)
    for app, container in (("d", doubles), ("i", integers)):
        assert isinstance(ask(frontend, body, app), PredictRequest)
        container.answer(outputs=[app.encode()])
    for _ in range(2):
        assert output(ask(frontend, body, "d")) == "d"
        assert output(ask(frontend, body, "i")) == "i"

    assert doubles.inputs == [[struct.pack("<2d", 1, 2)]]
    assert integers.inputs == [[struct.pack("<2i", 1, 2)]]


def test_an_application_with_a_policy_sees_whole_bodies(decoded: list[bytes]) -> None:
    """The user in them matters there."""
    frontend = Frontend()
    container = frontend.serve()
    body = b'{"input":"x","uid":5}'
    compute(frontend, container, body)
    assert output(ask(frontend, body)) == "out:x"
    before = len(decoded)

    frontend.configure([frontend.app_record(policy="static")])
    ask(frontend, body)
    assert len(decoded) == before + 1


@pytest.mark.parametrize(
    "body", [b'{"input":"x","version":"1"}', b'{"input_batch":["x","x"]}', b'{"input":"x",}']
)
def test_bodies_that_are_more_than_an_input_are_decoded_each_time(
    body: bytes, decoded: list[bytes]
) -> None:
    frontend = Frontend()
    compute(frontend, frontend.serve(), b'{"input":"x"}')
    decoded.clear()
    for _ in range(3):
        ask(frontend, body)
    assert decoded == [body] * 3


def test_long_bodies_are_not_kept_and_many_are_forgotten() -> None:
    known = decoding.BodyCache()
    long = b"x" * 1025
    known.keep(InputType.STRINGS, long, b"x")
    assert known.get(InputType.STRINGS, long) is None

    bodies = [b"%d" % number for number in range(10_000)]
    for body in bodies:
        known.keep(InputType.STRINGS, body, body)
    kept = [body for body in bodies if known.get(InputType.STRINGS, body) == body]
    assert bodies[-1] in kept
    assert len(kept) <= 4096
