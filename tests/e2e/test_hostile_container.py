"""Model containers that lie, stall or break the protocol, beside one honest replica.

Whatever the hostile one does, the frontend goes on, the honest replica serves, and every answer is
right or a default with its reason.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from clipper.rpc.pb import model_container_pb2 as pb
from tests.e2e.clusters import Cluster, eventually, local_cluster
from tests.fakes.hostile_container import (
    Behaviour,
    HostileContainer,
    honest,
    honest_reply,
    reply_with,
)

from .open_loop import OpenLoop

TOKEN = "secret"
SLO_S = 1.0
RATE_PER_S = 100.0

Dial = Callable[..., HostileContainer]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("guarded")
    with local_cluster(directory, token=TOKEN) as cluster:
        yield cluster
        assert cluster.manager.status()["children"][-1]["restarts"] == 0
    for log in (directory / "state" / "logs").iterdir():
        text = log.read_text(errors="replace")
        assert "Traceback" not in text, text[-6000:]
        assert len(text) < 64 * 1024, f"{log.name}: {text[:3000]}"


@pytest.fixture
def app(guarded: Cluster) -> Iterator[Cluster]:
    """Application ``app`` on the containerless model ``m``, whose replicas the test brings."""
    guarded.clean()
    guarded.connection.register_application("app", "doubles", "DEFAULT", int(SLO_S * 1e6))
    guarded.connection.register_model("m", "1", "doubles")
    guarded.connection.link_model_to_app("app", "m")
    yield guarded
    guarded.clean()


@pytest.fixture
def dial(guarded: Cluster) -> Dial:
    (worker,) = guarded.connection._question("get_workers")

    def container(**arguments: object) -> HostileContainer:
        arguments.setdefault("token", TOKEN)
        return HostileContainer(worker["rpc_address"], **arguments)  # type: ignore[arg-type]

    return container


def load(cluster: Cluster, ready: int = 2) -> OpenLoop:
    """Return load to be started, once so many replicas serve."""
    eventually(lambda: states(cluster).count("ready") >= ready, f"{ready} replicas serve")
    return OpenLoop(
        cluster.connection.get_query_addr(), "app", RATE_PER_S, lambda number: [float(number), 1.0]
    )


def serves(cluster: Cluster) -> bool:
    return bool(cluster.predict("app", input=[time.time()])["default"] is False)


REFUSED = {
    "wrong token": ({"token": "guess"}, "wrong token"),
    "no token": ({"token": ""}, "wrong token"),
    "older protocol": ({"protocol_version": 0}, "protocol version 0"),
    "newer protocol": ({"protocol_version": 2**31}, "protocol version"),
    "no name": ({"name": ""}, "must not be empty"),
    "no version": ({"version": ""}, "must not be empty"),
    "no instance": ({"instance_id": ""}, "must not be empty"),
    "no input type": ({"input_type": pb.INPUT_TYPE_UNSPECIFIED}, "input type"),
    "unknown input type": ({"input_type": 77}, "input type"),
    "another input type": ({"input_type": pb.INPUT_TYPE_STRINGS}, "CLIPPER_INPUT_TYPE=doubles"),
    "name with a colon": ({"name": "a:b"}, "name"),
    "version with a line break": ({"version": "1\nERROR forged log line"}, "version"),
    "name without end": ({"name": "n" * 100_000}, "name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_container_that_may_not_serve_is_told_why(app: Cluster, dial: Dial, case: str) -> None:
    arguments, text = REFUSED[case]
    with dial(**arguments) as container:
        assert container.refusal is not None
        assert text in container.refusal.lower() or text in container.refusal
        assert container.ended.wait(5)
    assert app.connection.get_all_model_replicas() == []


def test_streams_that_do_not_speak_the_protocol(app: Cluster, dial: Dial) -> None:
    (worker,) = app.connection._question("get_workers")
    with grpc.insecure_channel(worker["rpc_address"]) as channel:
        connect = channel.stream_stream("/clipper.v1.ModelContainerService/Connect")
        for first in (b"\xff\xff\xff garbage", b"", pb.ContainerMessage().SerializeToString()):
            with contextlib.suppress(grpc.RpcError):
                replies = list(connect(iter([first]), timeout=5))
                assert pb.FrontendMessage.FromString(replies[0]).HasField("refused")
        unknown = channel.unary_unary("/clipper.v1.Other/Method")
        with pytest.raises(grpc.RpcError):
            unknown(b"", timeout=5)
    with dial() as container:
        eventually(lambda: serves(app), "an honest container serves")
        assert container.refusal is None


def test_clients_that_vanish_in_every_phase(app: Cluster, dial: Dial) -> None:
    (worker,) = app.connection._question("get_workers")
    for _ in range(20):
        channel = grpc.insecure_channel(worker["rpc_address"])
        requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        connect = channel.stream_stream("/clipper.v1.ModelContainerService/Connect")
        connect(iter(requests.get, None)).cancel()
        channel.close()
        requests.put(None)
    for _ in range(20):
        with dial():
            pass
    with dial():
        eventually(lambda: serves(app), "an honest container serves")


def nan_queue(container: HostileContainer, batch: pb.Batch) -> None:
    container.send(batch_reply=reply_with(batch, [b"1"] * len(batch.sizes), queue_s=math.nan))


def negative_time(container: HostileContainer, batch: pb.Batch) -> None:
    container.send(batch_reply=reply_with(batch, [b"1"] * len(batch.sizes), compute_s=-1.0))


def infinite_time(container: HostileContainer, batch: pb.Batch) -> None:
    container.send(batch_reply=reply_with(batch, [b"1"] * len(batch.sizes), compute_s=math.inf))


def one_too_few(container: HostileContainer, batch: pb.Batch) -> None:
    container.send(batch_reply=reply_with(batch, [b"1"] * (len(batch.sizes) - 1)))


def one_too_many(container: HostileContainer, batch: pb.Batch) -> None:
    container.send(batch_reply=reply_with(batch, [b"1"] * (len(batch.sizes) + 1)))


def sizes_beyond_data(container: HostileContainer, batch: pb.Batch) -> None:
    reply = pb.BatchReply(batch_id=batch.batch_id, data=b"1", credits=1)
    reply.sizes.extend([2**32 - 1] * len(batch.sizes))
    container.send(batch_reply=reply)


def unknown_batch(container: HostileContainer, batch: pb.Batch) -> None:
    container.send(batch_reply=reply_with(batch, [b"1"], batch_id=2**63))


def answered_twice(container: HostileContainer, batch: pb.Batch) -> None:
    container.send(batch_reply=honest_reply(batch))
    container.send(batch_reply=reply_with(batch, [b"1"] * len(batch.sizes)))


def error_of_nobody(container: HostileContainer, batch: pb.Batch) -> None:
    reply = honest_reply(batch)
    reply.errors.add(index=2**32 - 1, message="x")
    container.send(batch_reply=reply)


def registers_again(container: HostileContainer, batch: pb.Batch) -> None:
    container.send(register=pb.Register(model_name="m"))


def says_nothing_in_words(container: HostileContainer, batch: pb.Batch) -> None:
    container.send()


def oversized(container: HostileContainer, batch: pb.Batch) -> None:
    container.send(
        batch_reply=reply_with(batch, [b"x" * (140 << 20)] + [b"1"] * (len(batch.sizes) - 1))
    )


def hangs_up(container: HostileContainer, batch: pb.Batch) -> None:
    container._outbox.put(None)


VIOLATIONS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        nan_queue, negative_time, infinite_time, one_too_few, one_too_many, sizes_beyond_data,
        unknown_batch, answered_twice, error_of_nobody, registers_again, says_nothing_in_words,
        oversized, hangs_up,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_ends_the_stream_and_its_queries_go_to_the_honest_replica(
    app: Cluster, dial: Dial, name: str
) -> None:
    with dial(behaviour=VIOLATIONS[name]) as hostile, dial(), load(app) as traffic:
        eventually(hostile.ended.is_set, "the hostile stream is ended")
        start = len(traffic.samples)
        eventually(lambda: len(traffic.samples) > start + 30, "more queries")
    wrong = [s for s in traffic.samples if s.answered and s.body["output"] != 2.0 * s.number]
    assert wrong == []
    missed = [sample for sample in traffic.samples if not sample.answered]
    # Making so large a message stalls this process, in which the honest replica runs too.
    assert len(missed) <= (50 if name == "oversized" else 2), missed


def test_a_container_that_reports_absurd_times_hurts_only_itself(app: Cluster, dial: Dial) -> None:
    def liar(container: HostileContainer, batch: pb.Batch) -> None:
        reply = honest_reply(batch)
        reply.queue_s = reply.compute_s = 1e300
        container.send(batch_reply=reply)

    with dial(behaviour=liar) as hostile, dial(), load(app) as traffic:
        eventually(lambda: hostile.batches and len(traffic.samples) > 300, "queries")
    missed = [sample for sample in traffic.samples if not sample.answered]
    assert missed == []


def test_a_container_that_never_answers(app: Cluster, dial: Dial) -> None:
    def silent(container: HostileContainer, batch: pb.Batch) -> None:
        pass

    with dial(behaviour=silent) as hostile, dial(), load(app) as traffic:
        eventually(lambda: hostile.batches and len(traffic.samples) > 300, "queries")
    missed = [sample for sample in traffic.samples if not sample.answered]
    assert len(missed) <= 8, [(s.number, s.reason) for s in missed]
    assert hostile.batches <= 4


def test_a_container_that_always_answers_too_late(app: Cluster, dial: Dial) -> None:
    """It is alive and predictable, but no query should wait for it when there is a better one."""

    def slow(container: HostileContainer, batch: pb.Batch) -> None:
        reply = honest_reply(batch)
        reply.compute_s = 2 * SLO_S
        threading.Timer(2 * SLO_S, lambda: container.send(batch_reply=reply)).start()

    def busy(container: HostileContainer, batch: pb.Batch) -> None:
        time.sleep(0.02)
        honest(container, batch)

    with dial(behaviour=slow) as hostile, dial(behaviour=busy), load(app) as traffic:
        eventually(lambda: hostile.batches and len(traffic.samples) > 1000, "queries")
    missed = [sample for sample in traffic.samples if not sample.answered]
    assert len(missed) <= len(traffic.samples) // 50, [(s.number, s.reason) for s in missed]


def test_output_that_is_not_text(app: Cluster, dial: Dial) -> None:
    texts = [b"\xff\xfe", b'{"a": "\xff"}', b'"\\ud800"', b"", b"\x00", b"[" * 5000, b"NaN", b"{"]
    outputs = iter(texts)

    def strange(container: HostileContainer, batch: pb.Batch) -> None:
        container.send(batch_reply=reply_with(batch, [next(outputs) for _ in batch.sizes]))

    with dial(behaviour=strange):
        eventually(lambda: states(app) == ["ready"], "it serves")
        for number in range(len(texts)):
            answer = app.predict("app", input=[float(number)])
            assert answer["default"] is False


def test_endless_error_messages_are_cut(app: Cluster, dial: Dial) -> None:
    def failing(container: HostileContainer, batch: pb.Batch) -> None:
        reply = reply_with(batch, [b""] * len(batch.sizes))
        for index in range(len(batch.sizes)):
            reply.errors.add(index=index, message="\x00\n<b>" + "e" * 1_000_000)
        container.send(batch_reply=reply)

    with dial(behaviour=failing):
        eventually(lambda: states(app) == ["ready"], "it serves")
        answer = app.predict("app", input=[1.0])
        assert answer["default"] is True
        assert "<b>eee" in answer["default_explanation"]
        assert len(answer["default_explanation"]) < 10_000


def test_a_container_that_goes_on_after_draining(app: Cluster, dial: Dial) -> None:
    with dial(), dial() as leaving:
        eventually(lambda: states(app) == ["ready", "ready"], "both serve")
        leaving.send(draining=pb.Draining())
        leaving.send(draining=pb.Draining())
        leaving.send(credit_grant=pb.CreditGrant(credits=5, hold=True))
        eventually(lambda: states(app) == ["draining", "ready"], "the frontend knows")
        before = leaving.batches
        for number in range(50):
            assert app.predict("app", input=[float(number)])["output"] == 2.0 * number
        assert leaving.batches == before


def states(cluster: Cluster) -> list[str]:
    return sorted(r["state"] for r in cluster.connection.get_all_model_replicas(verbose=True))


def test_two_containers_of_one_instance(app: Cluster, dial: Dial) -> None:
    with dial(instance_id="twin") as first:
        eventually(lambda: serves(app), "the first serves")
        with dial(instance_id="twin"):
            for number in range(50):
                assert app.predict("app", input=[float(number)])["output"] == 2.0 * number
        eventually(lambda: serves(app), "the first still serves")
        assert not first.ended.is_set()
    eventually(lambda: app.connection.get_all_model_replicas() == [], "both are gone")


def test_a_container_that_grants_no_credit_or_billions(app: Cluster, dial: Dial) -> None:
    with dial(credits=0), dial(credits=2**32 - 1):
        eventually(lambda: serves(app), "the generous one serves")
        with load(app, ready=1) as traffic:
            eventually(lambda: len(traffic.samples) > 200, "queries")
    assert [sample for sample in traffic.samples if not sample.answered] == []


def test_a_hundred_strangers_of_unknown_models(app: Cluster, dial: Dial, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(100):
            stack.enter_context(dial(name=f"stranger{number}"))
        stack.enter_context(dial())
        eventually(lambda: serves(app), "the known one serves")
        with load(app, ready=1) as traffic:
            eventually(lambda: len(traffic.samples) > 100, "queries")
    assert [sample for sample in traffic.samples if not sample.answered] == []
