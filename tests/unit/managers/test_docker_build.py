from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

import clipper
from clipper.managers.docker.build import build_command, pip_arguments
from clipper.managers.docker.transcript import BuildFailed, Transcript

_VERSION = clipper.__version__


def _failure(stream: Iterable[dict[str, Any]]) -> list[str]:
    with pytest.raises(BuildFailed) as caught:
        list(Transcript("c-m:1").lines(stream))
    return caught.value.msg.splitlines()


def _said(*lines: str) -> list[dict[str, Any]]:
    return [{"stream": f"{line}\n"} for line in lines]


def test_lines_come_plain_and_without_the_empty_ones() -> None:
    stream = [
        {"stream": "Step 1/2 : FROM x\n"},
        {"stream": "\n"},
        {"stream": "\x1b[31mred\x1b[0m\nplain\n"},
        {"aux": {"ID": "sha256:1"}},
        {"status": "Pulling from library/x", "id": "1"},
    ]
    assert list(Transcript("c-m:1").lines(stream)) == [
        "Step 1/2 : FROM x",
        "red",
        "plain",
        "Pulling from library/x",
    ]


def test_a_failure_holds_the_step_and_the_lines_of_pip() -> None:
    stream = _said(
        "Step 2/3 : RUN echo 'ERROR: of another step'",
        "ERROR: of another step",
        "Step 3/3 : RUN pip install   numpy==99",
        *(f"Collecting package-{number}" for number in range(300)),
        "\x1b[91mERROR: No matching distribution found for numpy==99\x1b[0m",
        "Removing intermediate container 1",
    )
    stream.append({"error": "The command '/bin/sh -c pip' returned a non-zero code: 1"})
    assert _failure(stream) == [
        "Image c-m:1 cannot be built: step 3 of 3 failed: RUN pip install numpy==99",
        "ERROR: No matching distribution found for numpy==99",
        "The command '/bin/sh -c pip' returned a non-zero code: 1",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "E: Unable to locate package libgomp9",
        "  error: subprocess-exited-with-error",
        "ModuleNotFoundError: No module named 'setuptools'",
        "fatal: repository not found",
    ],
)
def test_lines_that_explain(line: str) -> None:
    stream = [*_said("Step 1/1 : RUN x", "noise", line, "noise"), {"error": "code: 1"}]
    assert _failure(stream)[1:-1] == [line]


def test_without_such_a_line_the_last_ones_are_shown() -> None:
    stream = _said("Step 1/1 : RUN x", *(f"line {number}" for number in range(50)))
    shown = _failure([*stream, {"error": "code: 7"}])
    assert shown[1:] == [*(f"line {number}" for number in range(38, 50)), "code: 7"]


def test_a_long_line_loses_its_middle() -> None:
    versions = ", ".join(f"1.{number}" for number in range(500))
    line = f"ERROR: Could not find a version of numpy==99 (from versions: {versions})"
    shown = _failure([*_said("Step 1/1 : RUN x", line), {"error": "code: 1"}])[1]
    assert len(shown) < 260
    assert shown.startswith(
        "ERROR: Could not find a version of numpy==99 (from versions: 1.0, 1.1,"
    )
    assert shown.endswith(" … " + line[-120:])


def test_a_base_image_that_cannot_be_had_is_one_sentence() -> None:
    stream = [
        *_said("Step 1/9 : ARG PYTHON=3.13", "Step 2/9 : FROM python:3.13-slim"),
        {"error": "Get https://registry-1.docker.io/v2/: no such host"},
    ]
    assert _failure(stream) == [
        "Image c-m:1 cannot be built: the image it begins with, python:3.13-slim, is neither on "
        "this Docker engine nor can it be pulled (Get https://registry-1.docker.io/v2/: no such "
        "host)"
    ]


def test_a_failure_before_the_first_step() -> None:
    assert _failure([{"error": "no space left on device"}]) == [
        "Image c-m:1 cannot be built: no space left on device"
    ]


def test_pips_settings_are_taken_over_but_for_directories_of_this_machine() -> None:
    environment = {
        "PIP_INDEX_URL": "https://pypi.example.com/simple",
        "PIP_FIND_LINKS": "/opt/wheels http://10.0.0.1:8000/",
        "PIP_EXTRA_INDEX_URL": "file:///opt/index",
        "PIP_TRUSTED_HOST": "10.0.0.1",
        "PIP_CERT": "/etc/ssl/ca.crt",
    }
    assert pip_arguments(environment) == {
        "PIP_INDEX_URL": "https://pypi.example.com/simple",
        "PIP_FIND_LINKS": "http://10.0.0.1:8000/",
        "PIP_TRUSTED_HOST": "10.0.0.1",
    }
    assert pip_arguments({}) == {}


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (f"clipper/noop-container:{_VERSION}", "noop"),
        (f"clipper/python312-closure-container:{_VERSION}", "python-closure --python 3.12"),
        (f"clipper/base311-container:{_VERSION}", "base --python 3.11"),
        (f"clipper/management_frontend:{_VERSION}", "frontend"),
        (f"clipper/prometheus:{_VERSION}", "prometheus"),
        (f"r:5000/ml/tf314-container:{_VERSION}", "tf --python 3.14 --registry r:5000/ml"),
    ],
)
def test_the_command_that_makes_a_stock_image(image: str, words: str) -> None:
    assert build_command(image) == f"clipper images build {words}"


@pytest.mark.parametrize(
    "image",
    [
        "clipper/noop-container:0.1.0",  # this Clipper builds its own version only
        "clipper/noop-container",
        f"clipper/cafe311-container:{_VERSION}",
        "redis:alpine",
        f"clipper/noop-container@sha256:{'0' * 64}",
    ],
)
def test_other_images_have_no_such_command(image: str) -> None:
    assert build_command(image) is None
