"""Which engine is meant, and how failures before any call are told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import docker.context
import docker.errors
import pytest

from clipper.errors import ClipperException
from clipper.managers.docker.engine import Engine, EngineAbsent, connection_arguments


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {
        None: SimpleNamespace(Host="unix:///in-use.sock", TLSConfig=None),
        "far": SimpleNamespace(Host="tcp://far:2376", TLSConfig="certificates"),
    }
    monkeypatch.setattr(docker.context.ContextAPI, "get_context", known.get)


@pytest.mark.usefixtures("contexts")
@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        ({}, {"base_url": "unix:///in-use.sock"}),
        ({"DOCKER_CONTEXT": "far"}, {"base_url": "tcp://far:2376", "tls": "certificates"}),
        (
            {"DOCKER_CONTEXT": "far", "DOCKER_HOST": "unix:///mine.sock"},
            {"base_url": "unix:///mine.sock"},
        ),
    ],
)
def test_the_engine_of_docker_s_own_command(
    environment: dict[str, str], arguments: dict[str, Any]
) -> None:
    found = connection_arguments({"HOME": "/nowhere", **environment})
    assert {name: found[name] for name in arguments} == arguments


@pytest.mark.usefixtures("contexts")
def test_a_context_that_does_not_exist_is_never_replaced() -> None:
    with pytest.raises(EngineAbsent, match=r"no Docker context nosuch.*docker context ls"):
        connection_arguments({"DOCKER_CONTEXT": "nosuch"})


class Client:
    """An engine's client that only connects."""

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure

    def ping(self) -> None:
        if self._failure is not None:
            raise self._failure


def engine(failure: Exception | None = None) -> Engine:
    return Engine(Client(failure))  # type: ignore[arg-type]


def test_what_the_client_refuses_is_no_absent_engine() -> None:
    with (
        pytest.raises(ClipperException, match=r"client refused making x: .*units") as caught,
        engine().calling("making x"),
    ):
        raise docker.errors.DockerException("memory (lots) should specify the units")
    assert not isinstance(caught.value, EngineAbsent)


@pytest.mark.parametrize("host", ["nonsense", "http://", "ssh"])
def test_an_address_that_cannot_be_one(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EngineAbsent, match=r"cannot be reached while connecting.*DOCKER_HOST"):
        Engine()


def test_a_user_who_may_not_talk_to_the_engine() -> None:
    denied = docker.errors.DockerException("('Aborted', PermissionError(13, 'Permission denied'))")
    with pytest.raises(EngineAbsent, match=r"may not talk to the Docker engine.*group docker"):
        engine(denied)
