"""A real container process against a fake frontend: what it answers."""

from __future__ import annotations

import asyncio
import struct
import urllib.request
from collections.abc import AsyncIterator

import pytest

from clipper.datatypes import InputType
from clipper.rpc.codec import split_outputs
from clipper.rpc.pb import model_container_pb2 as pb
from tests.fakes.container_process import ContainerProcess
from tests.fakes.fake_frontend import FakeFrontend

ECHO = "tests.fakes.container_models:Echo"
COMMANDS = "tests.fakes.container_models:Commands"


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        return str(response.read().decode())


@pytest.fixture
async def frontend() -> AsyncIterator[FakeFrontend]:
    async with FakeFrontend() as frontend:
        yield frontend


@pytest.mark.parametrize(
    ("input_type", "data", "seen"),
    [
        (InputType.BYTES, b"a\0\xff", r"bytes b'a\x00\xff'"),
        (InputType.INTEGERS, struct.pack("<2i", -1, 2**31 - 1), "int32 [-1, 2147483647]"),
        (InputType.FLOATS, struct.pack("<2f", 0.5, float("inf")), "float32 [0.5, inf]"),
        (InputType.DOUBLES, struct.pack("<2d", 0.1, -0.0), "float64 [0.1, -0.0]"),
        (InputType.STRINGS, "a\0日".encode(), r"str 'a\x00日'"),
    ],
)
async def test_inputs_of_every_type_reach_user_code(
    frontend: FakeFrontend, input_type: InputType, data: bytes, seen: str
) -> None:
    async with ContainerProcess(frontend.port, ECHO, CLIPPER_INPUT_TYPE=input_type):
        stream = await frontend.stream()
        outputs, errors = await frontend.predict(stream, input_type, [data, b"", data])
    assert errors == {}
    assert outputs[0] == outputs[2] == seen
    assert outputs[1].split()[0] == seen.split()[0]


async def test_registration_says_who_it_is(frontend: FakeFrontend) -> None:
    async with ContainerProcess(
        frontend.port, "noop", CLIPPER_TOKEN="secret", CLIPPER_INPUT_TYPE="ints"
    ):
        register = (await frontend.stream()).register
    assert (register.model_name, register.model_version) == ("m", "1")
    assert (register.protocol_version, register.token) == (1, "secret")
    assert register.input_type == pb.INPUT_TYPE_INTEGERS
    assert len(register.instance_id) == 36
    assert "noop" in register.runtime
    assert register.metrics_port == 0


async def test_user_errors_stay_with_their_query(frontend: FakeFrontend) -> None:
    async with ContainerProcess(frontend.port, COMMANDS) as container:
        stream = await frontend.stream()

        async def do(*commands: str, budget_s: float = 10.0) -> tuple[list[str], dict[int, str]]:
            inputs = [command.encode() for command in commands]
            return await frontend.predict(stream, InputType.STRINGS, inputs, budget_s)

        poison = await do("nothing", "raise alarm", "exit 7", "nothing")
        assert poison == (
            ["did nothing", "", "", "did nothing"],
            {1: "ValueError: poison alarm", 2: "SystemExit: 7"},
        )
        late = await do("sleep 0.3", "raise alarm", budget_s=0.2)
        assert late == (["", ""], {0: "ValueError: poison alarm", 1: "ValueError: poison alarm"})
        short = "Expected model to return 2 outputs, found 1 outputs"
        assert await do("short", "nothing") == (["", ""], {0: short, 1: short})
        outputs, errors = await do("nothing", "surrogate", "big 9000000")
        assert outputs == ["did nothing", "", ""]
        assert "UTF-8" in errors[1]
        assert "9000000 bytes is too large" in errors[2]
        assert await do("nothing") == (["did nothing"], {})
        assert len(frontend.streams) == 1
        assert container.log.count("Traceback") == 1


async def test_children_of_user_code_do_not_end_the_container(frontend: FakeFrontend) -> None:
    async with ContainerProcess(frontend.port, COMMANDS):
        stream = await frontend.stream()
        outputs, _ = await frontend.predict(stream, InputType.STRINGS, [b"children"])
        assert outputs == ["child ended with -15"]
        assert await frontend.predict(stream, InputType.STRINGS, [b"x"]) == (["did x"], {})
        assert not stream.draining


@pytest.mark.parametrize(
    "batch",
    [
        pb.Batch(input_type=pb.INPUT_TYPE_DOUBLES, data=b"123", sizes=[3], budgets_s=[1]),
        pb.Batch(input_type=pb.INPUT_TYPE_STRINGS, data=b"\xff", sizes=[1], budgets_s=[1]),
        pb.Batch(input_type=pb.INPUT_TYPE_BYTES, data=b"123", sizes=[2], budgets_s=[1]),
        pb.Batch(input_type=pb.INPUT_TYPE_BYTES, data=b"1", sizes=[1], budgets_s=[]),
        pb.Batch(data=b"1", sizes=[1], budgets_s=[1]),
        pb.Batch(input_type=pb.INPUT_TYPE_BYTES),
    ],
)
async def test_faulty_batches_are_answered_and_nothing_breaks(
    frontend: FakeFrontend, batch: pb.Batch
) -> None:
    async with ContainerProcess(frontend.port, "noop"):
        stream = await frontend.stream()
        batch.batch_id = 99
        await frontend.until(lambda: stream.credits == 2)
        stream.send(batch=batch)
        reply = await frontend.reply(stream, 99)
        assert [e.index for e in reply.errors] == list(range(len(batch.sizes)))
        assert reply.credits == 1
        assert await frontend.predict(stream, InputType.BYTES, [b"x"]) == (["1.0"], {})


async def test_times_in_replies_are_apart(frontend: FakeFrontend) -> None:
    async with ContainerProcess(frontend.port, COMMANDS):
        stream = await frontend.stream()
        await frontend.until(lambda: stream.credits == 2)
        ids = [stream.send_batch(InputType.STRINGS, [b"sleep 0.3"]) for _ in range(2)]
        first, second = [await frontend.reply(stream, number) for number in ids]
    assert first.queue_s < 0.1
    assert 0.2 < second.queue_s < 0.6
    assert 0.3 <= second.compute_s < 0.6
    assert split_outputs(second.data, second.sizes) == [b"did sleep"]


async def test_metrics_of_container_and_user_are_served(frontend: FakeFrontend) -> None:
    async with ContainerProcess(
        frontend.port, COMMANDS, CLIPPER_METRICS_PORT="0", CLIPPER_METRICS_HOST="127.0.0.1"
    ):
        stream = await frontend.stream()
        await frontend.predict(stream, InputType.STRINGS, [b"metric 2.5", b"nothing"])
        await frontend.predict(stream, InputType.STRINGS, [b"nothing"])
        url = f"http://127.0.0.1:{stream.register.metrics_port}/metrics"
        text = await asyncio.to_thread(read, url)
    assert "user_gauge 2.5" in text
    assert 'clipper_mc_handle_time_ms_bucket{le="500.0"}' in text
    # The reply leaves before its batch is counted, so the last one may be missing.
    assert "clipper_mc_pred_total 3.0" in text or "clipper_mc_pred_total 2.0" in text


async def test_a_taken_metrics_port_costs_only_the_metrics(frontend: FakeFrontend) -> None:
    async with ContainerProcess(
        frontend.port, "noop", CLIPPER_METRICS_PORT=str(frontend.port)
    ) as container:
        stream = await frontend.stream()
        assert stream.register.metrics_port == 0
        assert await frontend.predict(stream, InputType.BYTES, [b"x"]) == (["1.0"], {})
        await container.logged("No metrics")
