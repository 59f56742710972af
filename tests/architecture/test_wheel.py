"""The wheel holds what a user needs and nothing else, and works where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import uuid
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import clipper
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.images import Sources

_REPOSITORY = Path(__file__).resolve().parents[2]
_PACKAGES = ("clipper", "clipper_admin")
_SOURCES = (*_PACKAGES, "Dockerfile", "containers", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy so that nothing is left in the tree."""
    pytest.importorskip("hatchling")
    source = tmp_path_factory.mktemp("source")
    for name in _SOURCES:
        path = _REPOSITORY / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    # What must stay out of the wheel is there to be taken by mistake.
    for outsider in ("tests", "docs", "benchmarks", "examples", "protos"):
        (source / outsider).mkdir()
        (source / outsider / "outsider.py").touch()
    target = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
        + ["--no-index", "--disable-pip-version-check", "--wheel-dir", str(target), str(source)],
        check=True,
        timeout=120,
    )
    (built,) = target.glob("*.whl")
    return built


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_source_file_is_in(wheel: Path) -> None:
    expected = {
        str(path.relative_to(_REPOSITORY))
        for package in ("clipper", "clipper_admin")
        for path in (_REPOSITORY / package).rglob("*")
        if path.suffix in {".py", ".pyi", ".typed", ".yaml"}
    }
    assert {"clipper/py.typed", "clipper/rpc/pb/model_container_pb2.py"} <= expected
    assert expected <= _names(wheel)


def test_what_images_are_made_of_is_in(wheel: Path) -> None:
    places = [
        path.relative_to(_REPOSITORY).as_posix()
        for path in [_REPOSITORY / "Dockerfile", *(_REPOSITORY / "containers").rglob("*")]
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert {"Dockerfile", "containers/base/Dockerfile", "containers/frontend/health.py"} <= {
        *places
    }
    assert {f"clipper/image_sources/{place}" for place in places} <= _names(wheel)


def test_nothing_else_is_in(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in _names(wheel)}
    assert tops == {"clipper", "clipper_admin", f"clipper_serving-{clipper.__version__}.dist-info"}
    assert not [name for name in _names(wheel) if name.endswith((".pyc", ".log"))]


def test_metadata(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"clipper_serving-{clipper.__version__}.dist-info"
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert metadata["Version"] == clipper.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "clipper = clipper.cli:main" in entry_points


def test_version_is_the_newest_of_the_changelog() -> None:
    text = (_REPOSITORY / "docs" / "changelog.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert sections[0] == clipper.__version__


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel: dependencies come from this one, Clipper only from there."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, with_pip=False)
    (packages,) = home.glob("lib/python*/site-packages")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
        + ["--disable-pip-version-check", "--target", str(packages), str(wheel)],
        check=True,
        timeout=60,
    )
    # Packages of this environment, but no path hooks of an editable install of this checkout.
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "libraries.pth").write_text("\n".join(libraries) + "\n")
    return home


def test_installed_wheel_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = (
        "import clipper, clipper.cli, clipper.daemon, clipper.frontend.worker, clipper_admin, "
        "clipper.management.server, clipper.container.runtime, clipper.deployers.sklearn; "
        "clipper_admin.LocalContainerManager; print(clipper.__file__, clipper.__version__)"
    )
    ran = subprocess.run(
        [str(installed / "bin" / "python"), "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    location, version = ran.stdout.split()
    assert Path(location).is_relative_to(installed)
    assert version == clipper.__version__


def test_contexts_of_an_installed_wheel_are_those_of_the_checkout(installed: Path) -> None:
    (package,) = installed.glob("lib/python*/site-packages/clipper")
    for dockerfile in ("Dockerfile", "containers/base/Dockerfile", "containers/sklearn/Dockerfile"):
        carried = Sources(package).context(dockerfile).read()
        assert carried == Sources(_REPOSITORY / "clipper").context(dockerfile).read()


@pytest.mark.docker
def test_installed_wheel_builds_an_image(installed: Path, tmp_path: Path) -> None:
    registry = f"clipper-test-{uuid.uuid4().hex[:8]}"
    command = [str(installed / "bin" / "python"), "-I", "-m", "clipper", "images", "build", "noop"]
    engine = Engine()
    try:
        ran = subprocess.run(
            [*command, "--registry", registry],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ran.returncode == 0, ran.stderr
        image = f"{registry}/noop-container:{clipper.__version__}"
        output = engine.client.containers.run(
            image,
            ["-c", "import clipper.container.__main__ as main; print(main.__file__)"],
            entrypoint="python",
            remove=True,
            labels={"ai.clipper.test": "wheel"},
        )
        assert output.decode().strip() == "/opt/clipper/clipper/container/__main__.py"
    finally:
        for found in engine.client.images.list(f"{registry}/*"):
            # The same image may have other names: an equal build gives an equal image.
            for tag in found.tags:
                if tag.startswith(registry):
                    engine.client.images.remove(tag)
        engine.client.close()
