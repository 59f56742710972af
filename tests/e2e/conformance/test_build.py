"""S21 of the interface spec §12.1: a model's image is built with the packages it asks for."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.managers.docker.manager import DockerContainerManager
from clipper.managers.local import LocalContainerManager
from clipper.managers.stock_images import FAMILIES, SUPPORTED_MINORS, stock_image
from tests.stock import StockImages, said_inside

from .test_short import a_name

PACKAGES = """
from importlib.metadata import version
print(version("sympy"), version("mpmath") > "")
"""
"""Looked up, not imported: this version of sympy is older than the Pythons that have images."""


def closure_image(minor: int) -> str:
    return stock_image(FAMILIES["python-closure"].pattern.format(python=f"3{minor}"))


def build(connection: ClipperConnection, name: str, data: Path, image: str) -> str:
    return connection.build_model(name, "1", str(data), image, pkgs_to_install=["sympy==1.1.*"])


def test_s21_build_with_packages_local(tmp_path: Path) -> None:
    state = tmp_path / "state"
    manager = LocalContainerManager("builder", state_dir=str(state), isolated_environments=True)
    (tmp_path / "data").mkdir()

    build(ClipperConnection(manager), "m", tmp_path / "data", stock_image("noop-container"))

    (record,) = (state / "bundles/m/1/current").glob("*.json")
    python = json.loads(record.read_text())["python"]
    output = subprocess.run(
        [python, "-c", PACKAGES], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert re.fullmatch(r"1\.1(\.\d+)* True\n", output)


def pythons_with_images(images: StockImages) -> list[int]:
    """Return the minors of Python 3 that have an image on the engine; one is always made."""
    images.need("python-closure")
    return [minor for minor in SUPPORTED_MINORS if images.exists(closure_image(minor))]


@pytest.mark.slow
@pytest.mark.docker
def test_s21_build_with_packages_docker(
    tmp_path: Path, stock_images: StockImages, model_images: list[str]
) -> None:
    connection = ClipperConnection(DockerContainerManager(a_name("builder")))
    minors = pythons_with_images(stock_images)
    assert minors

    for minor in minors:
        image = build(connection, f"m{minor}", tmp_path, closure_image(minor))
        model_images.append(image)
        output = said_inside(stock_images.engine.client, image, "python", "-c", PACKAGES)
        assert re.fullmatch(r"1\.1(\.\d+)* True", output)


@pytest.fixture
def model_images(stock_images: StockImages) -> Iterator[list[str]]:
    """Names of images to remove after the test."""
    names: list[str] = []
    yield names
    for name in names:
        stock_images.engine.client.images.remove(name, force=True)
