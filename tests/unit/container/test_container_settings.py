from __future__ import annotations

import pytest

from clipper.container.settings import ContainerSettings
from clipper.datatypes import InputType
from clipper.errors import ClipperException

REQUIRED = {
    "CLIPPER_MODEL_NAME": "m",
    "CLIPPER_MODEL_VERSION": "1",
    "CLIPPER_MODEL_PATH": "/model",
}


def test_defaults() -> None:
    settings = ContainerSettings.from_environment(REQUIRED)
    assert settings == ContainerSettings("m", "1", "/model")
    assert settings.entry_address == "127.0.0.1:7000"
    assert settings.input_type is InputType.DOUBLES
    assert settings.metrics_port == 1390


@pytest.mark.parametrize("name", REQUIRED)
def test_required_variables_are_named(name: str) -> None:
    for missing in ({k: v for k, v in REQUIRED.items() if k != name}, REQUIRED | {name: ""}):
        with pytest.raises(ClipperException, match=f"{name} environment variable must be set"):
            ContainerSettings.from_environment(missing)


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("CLIPPER_IP", "::1", "entry_address", "[::1]:7000"),
        ("CLIPPER_IP", "[::1]", "entry_address", "[::1]:7000"),
        ("CLIPPER_PORT", "7001", "entry_address", "127.0.0.1:7001"),
        ("CLIPPER_INPUT_TYPE", "ints", "input_type", InputType.INTEGERS),
        ("CLIPPER_TOKEN", "t", "token", "t"),
        ("CLIPPER_METRICS_PORT", "0", "metrics_port", 0),
        ("CLIPPER_METRICS_PORT", "", "metrics_port", None),
        ("CLIPPER_METRICS_PORT", "OFF", "metrics_port", None),
        ("CLIPPER_METRICS_HOST", "127.0.0.1", "metrics_host", "127.0.0.1"),
        ("CLIPPER_DRAIN_TIMEOUT_S", "1.5", "drain_timeout_s", 1.5),
        ("CLIPPER_READY_FILE", "/tmp/ready", "ready_file", "/tmp/ready"),
        ("CLIPPER_READY_FILE", "", "ready_file", None),
    ],
)
def test_values(name: str, text: str, field: str, value: object) -> None:
    assert getattr(ContainerSettings.from_environment(REQUIRED | {name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CLIPPER_PORT", "http"),
        ("CLIPPER_PORT", "70000"),
        ("CLIPPER_METRICS_PORT", "-1"),
        ("CLIPPER_INPUT_TYPE", "images"),
        ("CLIPPER_DRAIN_TIMEOUT_S", "soon"),
        ("CLIPPER_DRAIN_TIMEOUT_S", "nan"),
    ],
)
def test_bad_values_name_their_variable(name: str, text: str) -> None:
    with pytest.raises(ClipperException, match=name):
        ContainerSettings.from_environment(REQUIRED | {name: text})
