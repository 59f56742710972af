"""The server command line: what the flags become."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest

from clipper.daemon import build_parser, main, query_settings, redis_url
from clipper.errors import ClipperException


def parse(*flags: str) -> object:
    return build_parser().parse_args(["query-frontend", *flags])


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "REDIS_PASSWORD", "TOKEN", "ADVERTISE_HOST"):
        monkeypatch.delenv(f"CLIPPER_{name}", raising=False)


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ((), "redis://localhost:6379/0"),
        (("--redis_ip", "store", "--redis_port", "7"), "redis://store:7/0"),
        (("--redis-ip", "::1"), "redis://[::1]:6379/0"),
        (("--redis-url", "unix:///s", "--redis_ip", "store"), "unix:///s"),
    ],
)
def test_the_address_of_the_store(flags: tuple[str, ...], url: str) -> None:
    assert redis_url(parse(*flags)) == url  # type: ignore[arg-type]


def test_an_address_with_a_password_need_not_show_in_process_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLIPPER_REDIS_URL", "redis://u:secret@store/0")
    assert redis_url(parse("--redis_ip", "other")) == "redis://u:secret@store/0"  # type: ignore[arg-type]
    assert redis_url(parse("--redis-url", "unix:///s")) == "unix:///s"  # type: ignore[arg-type]


def test_a_password_from_the_environment_joins_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPER_REDIS_PASSWORD", "a@b/c:ü")
    assert redis_url(parse("--redis-ip", "store")) == "redis://:a%40b%2Fc%3A%C3%BC@store:6379/0"  # type: ignore[arg-type]
    assert redis_url(parse("--redis-url", "unix:///s")) == "unix:///s"  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_listening_everywhere_needs_a_name_that_containers_can_dial(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = parse("--host", host)
    with pytest.raises(ClipperException, match="--advertise-host or CLIPPER_ADVERTISE_HOST"):
        query_settings(arguments, 0)  # type: ignore[arg-type]

    monkeypatch.setenv("CLIPPER_ADVERTISE_HOST", "query_frontend-1")
    assert query_settings(arguments, 0).worker.advertise_host == "query_frontend-1"  # type: ignore[arg-type]
    told = parse("--host", host, "--advertise-host", "qf")
    assert query_settings(told, 0).worker.advertise_host == "qf"  # type: ignore[arg-type]


@pytest.mark.usefixtures("_logging_as_it_was")
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["query-frontend", "--host", "0.0.0.0"], "--advertise-host"),
        (["store", "--data-dir", "/nonexistent"], "give --socket PATH, or --host ADDRESS"),
        (["store", "--data-dir", "/proc/nothing", "--host", "::1"], "choose another --data-dir"),
    ],
)
def test_a_server_that_cannot_run_ends_with_the_next_step(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert text in capsys.readouterr().err


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    root, handler = logging.getLogger(), signal.getsignal(signal.SIGTERM)
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    signal.signal(signal.SIGTERM, handler)


def test_the_originals_flags_and_the_workers_own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPER_TOKEN", "secret")
    flags = "--rpc_service_port 7100 --prediction_cache_size 0 --thread_pool_size 3"
    flags += " --timeout_request 7 --timeout_content 8 --host 0.0.0.0 --frontend-id a"
    flags += " --advertise-host query_frontend-1"
    arguments = parse(*flags.split())
    settings = query_settings(arguments, 2)  # type: ignore[arg-type]

    assert arguments.workers == 3  # type: ignore[attr-defined]
    assert settings.query.cache_size_bytes == 0
    assert (settings.http.timeout_request_s, settings.http.timeout_content_s) == (7, 8)
    assert settings.worker.worker_id == "a-2"
    assert (settings.worker.rpc_host, settings.worker.rpc_port) == ("0.0.0.0", 7102)
    assert settings.worker.token == "secret"


def test_a_negative_cache_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--prediction_cache_size", "-1")
    assert "must not be negative" in capsys.readouterr().err


def test_autoscaling_is_off_by_default_and_its_settings_are_the_clusters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = build_parser().parse_args(["management-frontend"])
    assert (arguments.autoscale, arguments.namespace) == (None, None)
    assert (arguments.query_port, arguments.autoscale_cool_down) == (1337, 60)
    with pytest.raises(SystemExit):
        build_parser().parse_args(["management-frontend", "--autoscale", "docker"])
    assert "kubernetes" in capsys.readouterr().err


@pytest.mark.usefixtures("_logging_as_it_was")
def test_autoscaling_outside_a_cluster_ends_with_the_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main(["management-frontend", "--autoscale", "kubernetes"]) == 1
    assert "in a pod of the cluster only" in capsys.readouterr().err
