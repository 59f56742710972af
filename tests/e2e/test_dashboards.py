"""Every query of the Grafana dashboard and every alert, against a Prometheus under traffic."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from clipper.deployers.python import deploy_python_closure
from clipper.metrics import Family, families
from tests.prometheus import Prometheus, program, prometheus_process

from .clusters import Cluster, eventually, local_cluster

_DEPLOY = Path(__file__).parents[2] / "deploy"
_DASHBOARD = json.loads((_DEPLOY / "grafana/dashboards/clipper.json").read_text())
_RATE_INTERVAL = "15s"

_PANELS = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for panel in _DASHBOARD["panels"]
    for target in panel.get("targets", ())
]
_VARIABLES = {
    variable["name"]: variable["query"]["query"] for variable in _DASHBOARD["templating"]["list"]
}
_CONFIGURATION = f"""
global:
  scrape_interval: 1s
  evaluation_interval: 1s
rule_files: [{_DEPLOY}/prometheus/alerts.yml]
scrape_configs:
  - job_name: clipper
    file_sd_configs: [{{files: [%s], refresh_interval: 1s}}]
"""


def _measured(inputs: Any) -> list[Any]:
    """Double; count with metrics of its own; fail on negative numbers."""
    from clipper_admin.metrics import add_metric, report_metric

    add_metric("inputs_seen", "Counter", "Inputs")
    add_metric("last_input", "Gauge", "The last input's first number")
    add_metric("input_size", "Histogram", "Numbers in an input", [1, 10])
    if any(x[0] < 0 for x in inputs):
        raise ValueError("negative input")
    for x in inputs:
        report_metric("inputs_seen", 1)
        report_metric("last_input", x[0])
        report_metric("input_size", len(x))
    return [float(x[0]) * 2 for x in inputs]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes a cluster with a model under traffic."""
    directory = tmp_path_factory.mktemp("observed")
    targets = directory / "targets.json"
    targets.write_text("[]")
    configuration = _CONFIGURATION % targets
    with (
        local_cluster(directory) as cluster,
        prometheus_process(directory / "prometheus", configuration) as prometheus,
        _traffic(cluster),
    ):
        targets.write_text(json.dumps(_targets(cluster)))
        eventually(
            lambda: (
                len(prometheus.query("rate(clipper_mc_pred_total[15s]) > 0")) == 1
                and len(prometheus.query("rate(clipper_predictions_total[15s]) > 0")) == 3
                and len(prometheus.query("rate(clipper_feedback_total[15s]) > 0")) == 1
                and len(prometheus.query("rate(inputs_seen_total[15s]) > 0")) == 1
            ),
            "the traffic is in Prometheus",
        )
        yield prometheus


class _traffic:  # noqa: N801 - used as a function
    """Queries of every kind until the block ends: fresh, repeated, failing, without a model."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        connection = self._cluster.connection
        for app in ("shown", "orphan"):
            connection.register_application(app, "doubles", "DEFAULT", 2_000_000)
        deploy_python_closure(connection, "measured", "1", "doubles", _measured)
        connection.link_model_to_app("shown", "measured")
        connection.register_application("chosen", "doubles", "-", 2_000_000, policy="ensemble")
        connection.link_model_to_app("chosen", "measured")
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        number = 0.0
        while not self._stop.wait(0.02):
            number += 1.0
            self._cluster.predict("shown", input=[number])
            self._cluster.predict("shown", input=[7.0])
            self._cluster.predict("shown", input=[-number])
            self._cluster.predict("orphan", input=[1.0])
            chosen = self._cluster.predict("chosen", input=[number])
            label = {"query_id": chosen["query_id"], "label": number}
            requests.post(self._cluster.url("chosen", "update"), json=label, timeout=30)


def _targets(cluster: Cluster) -> list[dict[str, Any]]:
    """Return targets with the labels that the Docker manager and the compose file give."""
    model = {"container": "measured_1-1", "model_name": "measured", "model_version": "1"}
    return [
        {
            "targets": [cluster.connection.get_query_addr()],
            "labels": {"job": "query", "container": "query_frontend-1"},
        },
        {
            "targets": [f"127.0.0.1:{_metrics_port(cluster)}"],
            "labels": {"job": "model", **model},
        },
    ]


def _metrics_port(cluster: Cluster) -> int:
    """Return the port that the model container listens on; its only one."""
    [pid] = cluster.pids("model:measured:1")
    [port] = {
        connection.laddr.port
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    return int(port)


def _chosen(expression: str, user_metric: str = "last_input") -> str:
    """Return a query as Grafana sends it, everything chosen in its lists."""
    for name, value in (
        ("__rate_interval", _RATE_INTERVAL),
        ("user_metric", user_metric),
        ("app", ".*"),
        ("model", ".*"),
    ):
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression, expression
    return expression


@pytest.mark.parametrize("expression", _PANELS)
def test_every_panel_shows_data(observed: Prometheus, expression: str) -> None:
    result = observed.query(_chosen(expression))
    assert result, f"no data: {expression}"
    for sample in result:
        assert sample["value"][1] not in ("+Inf", "-Inf")
    assert any(sample["value"][1] != "NaN" for sample in result), f"only NaN: {expression}"


def test_the_panels_show_what_was_done(observed: Prometheus) -> None:
    value = observed.value
    assert value('clipper_slo_seconds{app="shown"}') == 2.0
    assert value('clipper_links{app="shown",model="measured"}') == 1
    assert (value('clipper_default_predictions_total{app="shown",reason="model-error"}') or 0) > 0
    assert (value('clipper_default_predictions_total{app="orphan",reason="no-replica"}') or 0) > 0
    assert value('clipper_default_predictions_total{app="shown",reason="no-replica"}') == 0
    assert (value('clipper_cache_lookups_total{result="hit"}') or 0) > 0
    assert (value('inputs_seen_total{model_name="measured"}') or 0) > 0


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("app", {"shown", "orphan"}),
        ("model", {"measured"}),
        ("user_metric", {"inputs_seen_total", "last_input", "input_size_bucket"}),
    ],
)
def test_the_lists_to_choose_from(observed: Prometheus, variable: str, expected: set[str]) -> None:
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", _VARIABLES[variable])
    assert match is not None, _VARIABLES[variable]
    selector, label = match.groups()
    values = set(observed.ask(f"label/{label}/values", **{"match[]": selector}))
    assert expected <= values
    assert not any(name.startswith(("clipper_mc_", "scrape_", "up")) for name in values)


def test_every_list_is_tested() -> None:
    assert set(_VARIABLES) == {"app", "model", "user_metric"}


@pytest.mark.parametrize("user_metric", ["inputs_seen_total", "input_size_bucket"])
def test_a_chosen_user_metric_has_a_rate(observed: Prometheus, user_metric: str) -> None:
    [rate] = [panel.values[0] for panel in _PANELS if "rate({__name__" in str(panel.values[0])]
    [sample] = observed.query(_chosen(str(rate), user_metric))
    assert float(sample["value"][1]) > 0


def test_alerts_are_evaluated_and_name_metrics_that_exist(observed: Prometheus) -> None:
    rules = [
        rule for group in observed.ask("rules", type="alert")["groups"] for rule in group["rules"]
    ]
    known = set(observed.ask("label/__name__/values"))
    assert len(rules) > 10
    for rule in rules:
        assert rule["health"] == "ok", rule
        observed.query(rule["query"])
        names = set(re.findall(r"\b(?:clipper_\w+|up)\b(?=[{\[)\s]|$)", rule["query"]))
        assert names, rule["query"]
        assert names <= known, rule["query"]
        assert {"summary", "description", "runbook"} <= set(rule["annotations"]), rule["name"]


def test_a_healthy_cluster_under_errors_raises_only_what_is_true(observed: Prometheus) -> None:
    """`orphan` has no link, so nothing is missing behind it; the model's errors are pending."""
    alerts = observed.ask("alerts")["alerts"]
    raised = {alert["labels"]["alertname"] for alert in alerts}
    assert raised <= {"ClipperModelErrors", "ClipperDefaultsHigh"}


def test_promtool_accepts_the_rules_and_their_unit_tests_pass() -> None:
    for arguments in (
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
        ["check", "config", "--syntax-only", "prometheus.yml"],
    ):
        done = subprocess.run(
            [program("promtool"), *arguments], cwd=_DEPLOY / "prometheus",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_unit_test() -> None:
    alerts = re.findall(r"- alert: (\w+)", (_DEPLOY / "prometheus/alerts.yml").read_text())
    tested = re.findall(r"alertname: (\w+)", (_DEPLOY / "prometheus/alerts_test.yml").read_text())
    assert len(alerts) == len(set(alerts))
    assert set(alerts) == set(tested)


def test_every_metric_of_the_frontend_is_on_the_dashboard() -> None:
    """Throughput of models is that of the batches; the version is no picture."""
    shown = json.dumps(_DASHBOARD)
    exposed = {
        family.name
        for family in vars(families).values()
        if isinstance(family, Family) and family.exposed
    }
    missing = {name for name in exposed if name not in shown}
    assert missing == {"clipper_info", "clipper_config_revision"}
