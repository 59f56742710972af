"""The server command line: what the flags become."""

from __future__ import annotations

import pytest

from clipper.daemon import build_parser, query_settings, redis_url


def parse(*flags: str) -> object:
    return build_parser().parse_args(["query-frontend", *flags])


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_REDIS_URL", raising=False)
    monkeypatch.delenv("CLIPPER_TOKEN", raising=False)


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


def test_the_originals_flags_and_the_workers_own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPER_TOKEN", "secret")
    flags = "--rpc_service_port 7100 --prediction_cache_size 0 --thread_pool_size 3"
    flags += " --timeout_request 7 --timeout_content 8 --host 0.0.0.0 --frontend-id a"
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
