"""Who logs to a collector, and how it is told."""

from __future__ import annotations

import logging

import pytest

from clipper.errors import ClipperException
from clipper.managers.docker.central_logging import (
    CONFIG_FILE,
    CONFIG_LABEL,
    PORT_LABEL,
    Collector,
    adopt,
    configuration,
    logs_elsewhere,
)

_COLLECTOR = Collector(24999)
_LABELS = {PORT_LABEL: "24999", CONFIG_LABEL: CONFIG_FILE}


def test_a_cluster_with_a_collector_switches_the_flag_on_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert adopt(False, _LABELS, "c") == _COLLECTOR
    assert "use_centralized_log is now True" in caplog.text


def test_a_collector_that_was_asked_for_but_is_not_there() -> None:
    with pytest.raises(ClipperException, match=r"^Invalid state detected\..*cluster c runs"):
        adopt(True, None, "c")


def test_asked_for_and_there_gives_the_very_same_collector(
    caplog: pytest.LogCaptureFixture,
) -> None:
    adopted = adopt(True, _LABELS, "c")
    assert adopted == _COLLECTOR
    assert adopted.log_config() == _COLLECTOR.log_config()
    assert caplog.text == ""


def test_neither_asked_for_nor_there() -> None:
    assert adopt(False, None, "c") is None


def test_the_labels_of_something_else_are_an_error() -> None:
    with pytest.raises(ClipperException, match=r"lacks a usable label"):
        adopt(True, {"ai.clipper.container.label": "c"}, "c")
    with pytest.raises(ClipperException, match=r"lacks a usable label"):
        adopt(True, _LABELS | {"ai.clipper.fluentd.port": "many"}, "c")


def test_containers_send_to_the_published_port_and_never_wait_for_it() -> None:
    driver = _COLLECTOR.log_config()
    assert driver.type == "fluentd"
    assert driver.config == {
        "fluentd-address": "127.0.0.1:24999",
        "fluentd-async": "true",
        "tag": "{{.Name}}",
    }


def test_the_collector_listens_where_its_port_is_published() -> None:
    text = configuration().decode()
    assert "port 24224" in text
    assert "path /fluentd/log/${tag}/%Y-%m-%d" in text
    assert text.count("<store>") == text.count("</store>") == 2


def test_the_reader_of_logs_is_sent_to_the_collector() -> None:
    assert "docker logs fluentd-7" in str(logs_elsewhere("fluentd-7"))
