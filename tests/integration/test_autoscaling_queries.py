"""The queries of the KEDA and prometheus-adapter examples, evaluated by promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.prometheus import program

_DIRECTORY = Path(__file__).parents[2] / "deploy/kubernetes/autoscaling"
_MATCHERS = 'namespace="default",model="m",version="1"'


def _queries() -> dict[str, tuple[str, str]]:
    """Return name of KEDA's trigger → KEDA's query, the adapter's."""
    keda = yaml.safe_load((_DIRECTORY / "keda-scaledobject.yml").read_text())
    rules = yaml.safe_load((_DIRECTORY / "prometheus-adapter-rules.yml").read_text())
    return {
        trigger["name"]: (
            trigger["metadata"]["query"],
            rule["metricsQuery"].replace("<<.LabelMatchers>>", _MATCHERS),
        )
        for trigger, rule in zip(keda["spec"]["triggers"], rules["externalRules"], strict=True)
    }


def _series(name: str, values: str, instance: str = "a", **labels: str) -> dict[str, str]:
    labels = {"namespace": "default", "instance": instance, **labels}
    pairs = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{pairs}}}", "values": values}


def _cluster(waiting: str, missing: str, computing: str, counted: str) -> list[dict[str, str]]:
    """Two frontends that show the same: one application on model m:1, and others beside it."""
    found = []
    for instance in ("a", "b"):
        for version, model in (("1", "m"), ("2", "m"), ("1", "other")):
            own = {"instance": instance, "model": model, "version": version}
            mine = (model, version) == ("m", "1")
            bucket = "clipper_queue_wait_seconds_bucket"
            found += [
                _series(bucket, "0x40", le="0.02", **own),
                _series(bucket, waiting if mine else "0x40", le="0.04", **own),
                _series(bucket, waiting if mine else "0x40", le="+Inf", **own),
                _series("clipper_queue_wait_seconds_count", counted if mine else "0+9x40", **own),
                _series("clipper_deadline_misses_total", missing if mine else "0+9x40", **own),
                _series(
                    "clipper_model_compute_seconds_sum", computing if mine else "0+9x40", **own
                ),
                _series("clipper_queue_length", "0x40", **own),
            ]
        for app, slo in (("a", "0.08"), ("tight", "0.04"), ("unlinked", "0.001")):
            found.append(_series("clipper_slo_seconds", f"{slo}x40", instance, app=app))
        for app, model in (("a", "m"), ("tight", "m"), ("unlinked", "other")):
            found.append(_series("clipper_links", "1x40", instance, app=app, model=model))
    return found


def _check(tmp_path: Path, series: list[dict[str, str]], query: str, samples: list[Any]) -> None:
    expected = {"expr": query, "eval_time": "3m", "exp_samples": samples}
    test = {"interval": "5s", "input_series": series, "promql_expr_test": [expected]}
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({"evaluation_interval": "5s", "tests": [test]}))
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("way", [0, 1], ids=["keda", "adapter"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue-wait", 0.975),  # 39 of 40 ms
        ("deadline-misses", 0.1),
        ("busy-replicas", 1.2),  # 3 s in 5 s on either frontend
    ],
)
def test_under_load(tmp_path: Path, name: str, value: float, way: int) -> None:
    series = _cluster("0+100x40", "0+10x40", "0+3x40", "0+100x40")
    _check(tmp_path, series, _queries()[name][way], [{"labels": "{}", "value": value}])


@pytest.mark.parametrize("way", [0, 1], ids=["keda", "adapter"])
@pytest.mark.parametrize("name", ["queue-wait", "deadline-misses", "busy-replicas"])
def test_without_queries_and_without_data(tmp_path: Path, name: str, way: int) -> None:
    """No load is 0 and not NaN; no data is nothing, which is an error and holds the number."""
    query = _queries()[name][way]
    idle = _cluster("0x40", "0x40", "0x40", "0x40")
    _check(tmp_path, idle, query, [{"labels": "{}", "value": 0}])
    _check(tmp_path, [], query, [])


@pytest.mark.parametrize("way", [0, 1], ids=["keda", "adapter"])
def test_when_every_query_is_given_up_the_share_is_all(tmp_path: Path, way: int) -> None:
    series = _cluster("0x40", "0+10x40", "0x40", "0x40")
    query = _queries()["deadline-misses"][way]
    _check(tmp_path, series, query, [{"labels": "{}", "value": 1}])
