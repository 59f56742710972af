"""A real container process against fake frontends: start, connections, credits, end."""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import AsyncIterator

import pytest

from clipper.datatypes import InputType
from clipper.rpc.channel import KEEPALIVE_TIMEOUT_S
from clipper.rpc.pb import model_container_pb2 as pb
from tests.fakes.container_process import ContainerProcess
from tests.fakes.fake_frontend import FakeFrontend, FakeStream

COMMANDS = "tests.fakes.container_models:Commands"


@pytest.fixture
async def frontend() -> AsyncIterator[FakeFrontend]:
    async with FakeFrontend() as frontend:
        yield frontend


@pytest.fixture
async def other() -> AsyncIterator[FakeFrontend]:
    async with FakeFrontend("w2") as frontend:
        yield frontend


def introduce(*frontends: FakeFrontend) -> None:
    for frontend in frontends:
        frontend.workers = [(f.worker_id, f.address) for f in frontends]


@pytest.mark.parametrize(
    ("framework", "environment", "status", "text"),
    [
        ("noop", {"CLIPPER_MODEL_NAME": ""}, 1, "CLIPPER_MODEL_NAME environment variable"),
        ("noop", {"CLIPPER_MODEL_VERSION": ""}, 1, "CLIPPER_MODEL_VERSION environment variable"),
        ("python-closure", {}, 1, "FileNotFoundError"),
        ("tests.fakes.container_models:Broken", {}, 1, "RuntimeError: broken weights"),
        ("tests.fakes.container_models:NeedsPackage", {}, 3, "pkgs_to_install"),
    ],
)
async def test_a_container_that_cannot_start_says_why(
    framework: str, environment: dict[str, str], status: int, text: str
) -> None:
    async with ContainerProcess(1, framework, **environment) as container:
        assert await container.exit_status() == status
    assert text in container.log


async def test_a_container_may_start_first_and_finds_a_restarted_frontend() -> None:
    frontend = FakeFrontend()
    await frontend.start()
    await frontend.stop()
    async with ContainerProcess(frontend.port, "noop", CLIPPER_IP="localhost") as container:
        await container.logged("connection ended")
        instances = set()
        for count in (1, 2):
            await frontend.start()
            try:
                stream = await frontend.stream(count)
                assert await frontend.predict(stream, InputType.BYTES, [b""]) == (["1.0"], {})
                instances.add(stream.register.instance_id)
            finally:
                await frontend.stop()
        assert len(instances) == 1


async def test_a_refusal_for_good_is_an_error_in_the_log_and_not_hammered(
    frontend: FakeFrontend,
) -> None:
    frontend.refuse = pb.Refused(reason="wrong token", retryable=False)
    async with ContainerProcess(frontend.port, "noop") as container:
        await container.logged("refused this container: wrong token")
        assert "ERROR" in container.log
        with pytest.raises(TimeoutError):
            await frontend.until(lambda: len(frontend.registrations) > 1, 2)
        assert container.process.poll() is None


async def test_a_refusal_for_now_is_tried_again(frontend: FakeFrontend) -> None:
    frontend.refuse = pb.Refused(reason="starting", retryable=True)
    async with ContainerProcess(frontend.port, "noop"):
        await frontend.until(lambda: len(frontend.registrations) > 1)
        frontend.refuse = None
        await frontend.stream()


@pytest.mark.parametrize("command", ["sleep 1", "block 1"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_sigterm_answers_what_is_outstanding(
    frontend: FakeFrontend, number: signal.Signals, command: str
) -> None:
    async with ContainerProcess(frontend.port, COMMANDS) as container:
        stream = await frontend.stream()
        await frontend.until(lambda: stream.credits == 2)
        ids = [stream.send_batch(InputType.STRINGS, [command.encode()]) for _ in range(2)]
        await frontend.until(lambda: stream.credits == 0)
        container.signal(number)
        if not command.startswith("block"):
            await frontend.until(lambda: stream.draining)
            assert not stream.replies
        await frontend.until(lambda: stream.ended_at)
        assert set(ids) == set(stream.replies)
        assert stream.half_closed
        assert stream.draining
        assert await container.exit_status() == 0
        assert not any(r.credits for r in stream.replies.values() if r.batch_id == ids[1])


async def test_batches_that_crossed_the_goodbye_are_answered(frontend: FakeFrontend) -> None:
    def send_when_draining(stream: FakeStream, message: pb.ContainerMessage) -> None:
        if message.WhichOneof("message") == "draining":
            stream.send_batch(InputType.STRINGS, [b"late"])

    frontend.on_message = send_when_draining
    async with ContainerProcess(frontend.port, COMMANDS) as container:
        stream = await frontend.stream()
        await frontend.until(lambda: stream.credits == 2)
        container.signal(signal.SIGTERM)
        assert await container.exit_status() == 0
        assert list(stream.replies) == [1]


async def test_returned_credits_end_the_drain_at_once(frontend: FakeFrontend) -> None:
    def give_back(stream: FakeStream, message: pb.ContainerMessage) -> None:
        if message.WhichOneof("message") == "draining":
            stream.send(credit_return=pb.CreditReturn(credits=2))

    frontend.on_message = give_back
    async with ContainerProcess(frontend.port, "noop") as container:
        stream = await frontend.stream()
        await frontend.until(lambda: stream.credits == 2)
        container.signal(signal.SIGTERM)
        await frontend.until(lambda: stream.ended_at)
        assert stream.ended_at is not None
        assert stream.ended_at - stream.times[-1] < 0.2
        assert await container.exit_status() == 0


async def test_a_stuck_model_cannot_stop_the_end(frontend: FakeFrontend) -> None:
    async with ContainerProcess(frontend.port, COMMANDS, CLIPPER_DRAIN_TIMEOUT_S="0.5") as c:
        stream = await frontend.stream()
        await frontend.until(lambda: stream.credits == 2)
        stream.send_batch(InputType.STRINGS, [b"sleep 60"])
        stream.send_batch(InputType.STRINGS, [b"sleep 60"])
        c.signal(signal.SIGTERM)
        assert await c.exit_status(10) == 1


async def test_a_worker_that_drains_gets_its_answers_and_is_dialled_again(
    frontend: FakeFrontend,
) -> None:
    async with ContainerProcess(frontend.port, COMMANDS):
        stream = await frontend.stream()
        await frontend.until(lambda: stream.credits == 2)
        number = stream.send_batch(InputType.STRINGS, [b"sleep 0.5"])
        stream.send(drain=pb.Drain(reason="restart", reconnect=True))
        await frontend.reply(stream, number)
        await frontend.until(lambda: stream.ended_at)
        assert stream.half_closed
        assert not stream.draining
        again = await frontend.stream(2)
        assert await frontend.predict(again, InputType.STRINGS, [b"x"]) == (["did x"], {})


async def test_a_worker_that_dismisses_is_left_alone(
    frontend: FakeFrontend, other: FakeFrontend
) -> None:
    introduce(frontend, other)
    async with ContainerProcess(frontend.port, "noop"):
        await frontend.stream()
        dismissed = await other.stream()
        dismissed.send(drain=pb.Drain(reason="model deleted", reconnect=False))
        await other.until(lambda: dismissed.ended_at)
        await frontend.until(lambda: frontend.streams[0].hold)
        with pytest.raises(TimeoutError):
            await other.until(lambda: len(other.registrations) > 1, 2)


async def test_listed_workers_are_dialled_once_each(
    frontend: FakeFrontend, other: FakeFrontend
) -> None:
    introduce(frontend, other)
    async with FakeFrontend("w3") as third, ContainerProcess(frontend.port, "noop"):
        stream = await frontend.stream()
        await other.stream()
        introduce(frontend, other, third)
        stream.send(worker_list=frontend.worker_list())
        await third.stream()
        # A list without somebody changes nothing.
        introduce(frontend)
        stream.send(worker_list=frontend.worker_list())
        for worker in (frontend, other, third):
            [only] = worker.streams
            assert await worker.predict(only, InputType.BYTES, [b""]) == (["1.0"], {})
            assert len(worker.registrations) == 1


async def test_a_lost_worker_is_found_at_its_place_and_only_once(
    frontend: FakeFrontend, other: FakeFrontend
) -> None:
    introduce(frontend, other)
    async with ContainerProcess(frontend.port, "noop"):
        await other.stream()
        await frontend.stream()
        await frontend.stop()
        frontend.worker_id = "w1-restarted"
        introduce(frontend, other)
        await frontend.start()
        stream = await frontend.stream(2)
        assert await frontend.predict(stream, InputType.BYTES, [b""]) == (["1.0"], {})
        with pytest.raises(TimeoutError):
            await frontend.until(lambda: len(frontend.registrations) > 2, 2)


class GreedyFrontend:
    """Sends whenever it has a credit, by the rules, until ``left`` batches were sent."""

    def __init__(self, frontend: FakeFrontend, left: int, budget_s: float) -> None:
        self.frontend = frontend
        self.left = left
        self.budget_s = budget_s
        self.outstanding = 0
        self.sent: list[float] = []
        frontend.on_message = self.act

    def act(self, stream: FakeStream, message: pb.ContainerMessage) -> None:
        if message.WhichOneof("message") == "batch_reply":
            self.outstanding -= 1
        while stream.credits > 0 and self.left > 0:
            self.left -= 1
            self.outstanding += 1
            self.sent.append(time.monotonic())
            behind = pb.Demand(queries=self.left, head_budget_s=self.budget_s)
            stream.send_batch(
                InputType.STRINGS, [b"sleep 0.02"], self.budget_s, behind if self.left else None
            )
        if stream.credits and not stream.hold:
            stream.send(credit_return=pb.CreditReturn(credits=stream.credits))
            stream.credits = 0

    def ask(self) -> None:
        demand = pb.Demand(queries=self.left, head_budget_s=self.budget_s)
        self.frontend.streams[0].send(demand=demand)

    async def done(self) -> None:
        await self.frontend.until(lambda: not self.left and not self.outstanding)


async def test_several_workers_share_two_places_by_urgency(
    frontend: FakeFrontend, other: FakeFrontend
) -> None:
    introduce(frontend, other)
    patient = GreedyFrontend(frontend, 0, 50.0)
    urgent = GreedyFrontend(other, 0, 1.0)
    async with ContainerProcess(frontend.port, COMMANDS):
        first, second = await frontend.stream(), await other.stream()
        await frontend.until(lambda: first.messages and not first.hold and not first.credits)
        patient.left, urgent.left = 30, 15
        patient.ask()
        await frontend.until(lambda: len(patient.sent) > 3)
        urgent.ask()
        await urgent.done()
        overtaken = patient.left
        await patient.done()
    # A third batch in the pipe would have waited for two others.
    waits = [r.queue_s for s in (first, second) for r in s.replies.values()]
    assert statistics.median(waits) < 0.03
    # The urgent queue was served whole while the patient one waited, but for what was in the pipe.
    assert overtaken >= 20
    assert len(first.replies) == 30
    assert len(second.replies) == 15


async def test_a_stopped_container_is_noticed_and_a_busy_one_is_not_dead() -> None:
    async with (
        FakeFrontend(ping_timeout_s=KEEPALIVE_TIMEOUT_S) as frontend,
        ContainerProcess(frontend.port, COMMANDS) as container,
    ):
        stream = await frontend.stream()
        done = await frontend.predict(stream, InputType.STRINGS, [b"sleep 5"])
        assert done == (["did sleep"], {})
        assert len(frontend.streams) == 1
        stopped = time.monotonic()
        container.signal(signal.SIGSTOP)
        await frontend.until(lambda: stream.ended_at)
        assert time.monotonic() - stopped < 4
        container.signal(signal.SIGCONT)
        again = await frontend.stream(2)
        assert await frontend.predict(again, InputType.STRINGS, [b"x"]) == (["did x"], {})
