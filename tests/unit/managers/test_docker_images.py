from __future__ import annotations

import ast
import io
import re
import sys
import tarfile
from pathlib import Path

import pytest

import clipper
from clipper.errors import ClipperException
from clipper.managers import stock_images
from clipper.managers.docker.images import (
    ALL_FAMILIES,
    BASE,
    Sources,
    build_arguments,
    recipe,
    recipes,
    supported_python,
    with_bases,
)

_REPOSITORY = Path(__file__).resolve().parents[3]
_VERSION = clipper.__version__
_SOURCES = Sources(_REPOSITORY / "clipper")
_DOCKERFILES = {family: recipe(family, "3.11").dockerfile for family in ALL_FAMILIES}


def _names(dockerfile: str) -> set[str]:
    with tarfile.open(fileobj=_SOURCES.context(dockerfile)) as archive:
        return set(archive.getnames())


def _modules(dockerfile: str) -> set[str]:
    """Return the modules of ours that an image holds."""
    names = _names(dockerfile)
    python = [name for name in names if re.match(r"clipper(_admin)?/.*\.py$", name)]
    return {name[:-3].replace("/", ".").removesuffix(".__init__") for name in python}


def _imported_from_clipper(module: str) -> set[str]:
    """Return what a module of ours imports of ours when it is loaded or when it runs."""
    place = _REPOSITORY / module.replace(".", "/")
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("clipper"):
            found.add(str(node.module))
            if node.module == "clipper":
                found.update(f"clipper.{one.name}" for one in node.names if one.name[0] != "_")
        elif isinstance(node, ast.Import):
            found.update(one.name for one in node.names if one.name.startswith("clipper"))
    return found


def test_names_carry_registry_python_and_version() -> None:
    assert recipe("sklearn", "3.12", "r.example.com/ml").tags == (
        f"r.example.com/ml/sklearn312-container:{_VERSION}",
    )
    assert recipe("python-closure", "3.11", "clipper").tags == (
        f"clipper/python311-closure-container:{_VERSION}",
    )
    assert recipe("noop", "3.13", "clipper").tags == (f"clipper/noop-container:{_VERSION}",)
    assert recipe("frontend", "3.11", "clipper").tags == (
        f"clipper/query_frontend:{_VERSION}",
        f"clipper/management_frontend:{_VERSION}",
    )


def test_every_family_but_the_others_is_built_upon_the_base_of_its_python() -> None:
    base = recipe(BASE, "3.12", "r").tags[0]
    for one in recipes((), "3.12", "r"):
        assert one.base == (base if one.family in stock_images.FAMILIES else None)


def test_a_base_comes_before_what_needs_it_and_only_once() -> None:
    ordered = with_bases(recipes(["sum", "frontend", "noop", "sklearn"], "3.11"))
    assert [one.family for one in ordered] == ["frontend", "base", "noop", "sum", "sklearn"]
    assert [one.family for one in with_bases(recipes(["prometheus"], "3.11"))] == ["prometheus"]


def test_no_families_means_all() -> None:
    assert [one.family for one in recipes((), "3.11")] == list(ALL_FAMILIES)


def test_an_unknown_family_is_told_with_those_there_are() -> None:
    with pytest.raises(ClipperException, match=r"no image family cafe: use frontend, .*mxnet"):
        recipes(["noop", "cafe"], "3.11")
    with pytest.raises(ClipperException, match=r"mxnet cannot be had for Python 3\.13"):
        recipes(["noop", "mxnet"], "3.13")
    assert "mxnet" not in [one.family for one in recipes((), "3.13")]


def test_python_is_this_interpreters_unless_said() -> None:
    assert supported_python() == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert supported_python("3.14") == "3.14"
    with pytest.raises(ClipperException, match=r"no images for Python 2\.7, only for 3\.11, 3\.12"):
        supported_python("2.7")


@pytest.mark.parametrize("dockerfile", _DOCKERFILES.values(), ids=_DOCKERFILES.keys())
def test_dockerfiles_are_plain_unprivileged_and_of_this_version(dockerfile: str) -> None:
    text = (_REPOSITORY / dockerfile).read_text(encoding="utf-8")
    assert "# syntax" not in text
    assert "--mount" not in text
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert not users or users[-1] == "10001"
    versions = re.findall(r"^ARG (?:BASE=\S+:|VERSION=)(\S+)$", text, re.MULTILINE)
    assert versions == [_VERSION]
    if re.search(r"\bpip install\b", text):
        declared = _SOURCES.declared_arguments(dockerfile)
        assert {
            "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST"
        } <= declared  # fmt: skip
        assert "--no-cache-dir" in text


@pytest.mark.parametrize("family", stock_images.FAMILIES)
def test_a_model_image_runs_its_own_framework(family: str) -> None:
    text = (_REPOSITORY / _DOCKERFILES[family]).read_text(encoding="utf-8")
    framework = stock_images.FAMILIES[family].framework
    assert f'ENTRYPOINT ["python", "-m", "clipper.container", "--framework", "{framework}"]' in text
    assert f'ai.clipper.framework="{framework}"' in text


def test_a_framework_adds_nothing_but_its_pins() -> None:
    assert _names("containers/sklearn/Dockerfile") == {
        "containers/sklearn/Dockerfile",
        "containers/sklearn/requirements.txt",
    }


def test_the_base_holds_all_that_a_container_imports_and_no_server_or_client() -> None:
    held = _modules("containers/base/Dockerfile")
    ours = {name for name in held if name.startswith("clipper.")}
    assert {"clipper.container.__main__", "clipper.rpc.codec", "clipper.artifacts"} <= ours
    for module in ours:
        assert _imported_from_clipper(module) <= held, module
    assert not [
        name for name in ours if re.match(r"clipper\.(managers|admin|frontend|store)", name)
    ]


def test_the_frontends_image_holds_all_that_the_daemon_imports_and_no_client() -> None:
    held = _modules("Dockerfile")
    assert {"clipper.daemon", "clipper.frontend.worker", "clipper.store.embedded"} <= held
    for module in held:
        assert _imported_from_clipper(module) <= held, module
    assert not [name for name in held if re.match(r"clipper\.(managers|admin|cli|container)", name)]


def test_a_context_is_the_same_whatever_the_files_times_and_modes(tmp_path: Path) -> None:
    package = tmp_path / "clipper"
    package.mkdir()
    (package / "__init__.py").write_text("x = 1\n")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "old.pyc").write_bytes(b"old")
    (tmp_path / "Dockerfile").write_text("FROM x\nCOPY clipper \\\n  /opt/clipper\n")
    sources = Sources(package)
    before = sources.context("Dockerfile").read()
    (package / "__init__.py").chmod(0o600)
    (package / "__init__.py").touch()
    (package / "__pycache__" / "new.pyc").write_bytes(b"new")
    assert sources.context("Dockerfile").read() == before
    with tarfile.open(fileobj=io.BytesIO(before)) as archive:
        assert archive.getnames() == ["Dockerfile", "clipper/__init__.py"]
        assert {(entry.mode, entry.mtime, entry.uid) for entry in archive} == {(0o644, 0, 0)}
    (package / "__init__.py").write_text("x = 2\n")
    assert sources.context("Dockerfile").read() != before


def test_an_installation_without_dockerfiles_says_so(tmp_path: Path) -> None:
    (tmp_path / "clipper").mkdir()
    with pytest.raises(ClipperException, match="came without its Dockerfiles"):
        Sources(tmp_path / "clipper")


def test_a_build_is_given_only_the_arguments_it_declares() -> None:
    environment = {"PIP_INDEX_URL": "https://pypi.example.com/simple", "SECRET": "x"}
    made = recipe("sklearn", "3.12", "r")
    assert build_arguments(made, _SOURCES, environment) == {
        "PIP_INDEX_URL": "https://pypi.example.com/simple",
        "BASE": f"r/base312-container:{_VERSION}",
    }
    assert build_arguments(recipe("prometheus", "3.12", "r"), _SOURCES, environment) == {
        "PYTHON": "3.12",
        "VERSION": _VERSION,
    }
