"""Images of models: what they hold, what is not built again, and failures in words."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from clipper.errors import ClipperException
from clipper.managers.docker import DockerContainerManager
from clipper.managers.docker.build import BuildFailed
from clipper.managers.stock_images import stock_image
from tests.stock import StockImages, said_inside

CLOSURE = stock_image(f"python{sys.version_info.major}{sys.version_info.minor}-closure-container")

pytestmark = pytest.mark.docker


@pytest.fixture
def manager(stock_images: StockImages) -> Iterator[DockerContainerManager]:
    """A manager whose cluster does not run: building needs none."""
    stock_images.need("python-closure", "noop")
    manager = DockerContainerManager(f"test-{uuid.uuid4().hex[:8]}")
    yield manager
    manager.delete_state()


def inside(images: StockImages, image: str, *command: str) -> str:
    """Return what a command prints in a container of the image."""
    return said_inside(images.engine.client, image, *command)


@pytest.mark.slow
def test_image_of_a_model(
    manager: DockerContainerManager, stock_images: StockImages, tmp_path: Path
) -> None:
    (tmp_path / "func.pkl").write_bytes(b"data")
    (tmp_path / "func.pkl").chmod(0o600)
    (tmp_path / "requirements.txt").write_text("sympy\nmpmath  # exact\n")
    (tmp_path / "constraints.txt").write_text("sympy==1.12\nmpmath==1.3.0\n")
    image = manager.build_model("m", "1", str(tmp_path), CLOSURE)
    assert image == f"{manager.cluster_name}-m:1"
    assert inside(stock_images, image, "cat", "/model/func.pkl") == "data"
    assert inside(stock_images, image, "id", "-u") == "10001"
    installed = inside(stock_images, image, "pip", "list", "--format", "freeze").splitlines()
    assert {"sympy==1.12", "mpmath==1.3.0"} <= set(installed)
    first = stock_images.engine.client.images.get(image)
    assert first.labels["ai.clipper.image.model"] == "m_1"
    assert "ai.clipper.container.label" not in first.labels

    (tmp_path / "func.pkl").write_bytes(b"other data")
    second = manager.build_model("m", "2", str(tmp_path), CLOSURE)
    layers = [
        stock_images.engine.client.images.get(name).attrs["RootFS"]["Layers"]
        for name in (image, second)
    ]
    assert layers[0][:-1] == layers[1][:-1]  # nothing was installed again
    assert layers[0] != layers[1]
    manager.delete_state()
    assert stock_images.engine.client.images.list(manager.cluster_name + "-m") == []


@pytest.mark.slow
def test_an_empty_directory_and_explicit_packages(
    manager: DockerContainerManager, stock_images: StockImages, tmp_path: Path
) -> None:
    image = manager.build_model("m", "1", str(tmp_path), stock_image("noop-container"))
    assert inside(stock_images, image, "ls", "-A", "/model") == ""
    (tmp_path / "requirements.txt").write_text("no-such-package-of-clipper==9\n")
    image = manager.build_model(
        "m", "2", str(tmp_path), CLOSURE, pkgs_to_install=["sympy==1.12.*"]
    )  # fmt: skip
    installed = inside(stock_images, image, "pip", "list", "--format", "freeze")
    assert "sympy==1.12" in installed


def test_what_pip_says_reaches_the_caller(manager: DockerContainerManager, tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match=r"No matching distribution found for sympy==0\.0\.999"):
        manager.build_model("m", "1", str(tmp_path), CLOSURE, pkgs_to_install=["sympy==0.0.999"])


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"model_data_path": "/no/such/place"}, "/no/such/place is not a directory"),
        ({"base_image": "no-such-image-of-clipper:1"}, "no-such-image-of-clipper"),
        ({"name": "a_b"}, "Invalid value: a_b"),
        ({"pkgs_to_install": ["--index-url=http://evil"]}, "is not a requirement"),
    ],
)
def test_what_cannot_be_built(
    manager: DockerContainerManager, tmp_path: Path, changed: dict[str, Any], text: str
) -> None:
    arguments = {
        "name": "m", "version": "1", "model_data_path": str(tmp_path), "base_image": CLOSURE
    }  # fmt: skip
    with pytest.raises(ClipperException, match=text):
        manager.build_model(**(arguments | changed))


def test_another_python_is_told_before_anything_is_built(
    manager: DockerContainerManager, stock_images: StockImages, tmp_path: Path
) -> None:
    client = stock_images.engine.client
    tag = f"clipper-test/{uuid.uuid4().hex[:8]}:1"
    dockerfile = BytesIO(f"FROM {CLOSURE}\nLABEL ai.clipper.python=3.9\n".encode())
    client.images.build(fileobj=dockerfile, tag=tag, rm=True)
    try:
        (tmp_path / "func.pkl").write_bytes(b"")
        with pytest.raises(ClipperException, match=r"pickled by Python 3\.1\d.*Python 3\.9"):
            manager.build_model("m", "1", str(tmp_path), tag)
        (tmp_path / "func.pkl").unlink()
        manager.build_model("m", "1", str(tmp_path), tag)
    finally:
        client.images.remove(tag, force=True)


def test_an_image_that_runs_by_hand_is_no_replica(
    manager: DockerContainerManager, stock_images: StockImages, tmp_path: Path
) -> None:
    image = manager.build_model("m", "1", str(tmp_path), stock_image("noop-container"))
    container = stock_images.engine.client.containers.run(
        image, detach=True, network_mode="none", labels={"clipper-test": "build"}
    )
    try:
        assert manager.get_num_replicas("m", "1") == 0
    finally:
        container.remove(force=True)
