"""Name and Dockerfile of a model's own image."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from clipper.errors import ClipperException
from clipper.managers.docker.model_build import write_context
from clipper.managers.docker.model_image import BaseImage, check_python, dockerfile, image_name

BASE = BaseImage("clipper/base:1", "10001", "3.11")


def test_image_names() -> None:
    assert image_name("c", None, "m", "1") == "c-m:1"
    assert image_name("c", "reg.io/team/", "m", "1") == "reg.io/team/c-m:1"
    with pytest.raises(ClipperException, match="no capital"):
        image_name("Prod", None, "m", "1")


@pytest.mark.parametrize(("name", "version"), [("m" * 199, "1"), ("m", "1" * 129)])
def test_too_long_image_names_are_told_as_such(name: str, version: str) -> None:
    with pytest.raises(ClipperException, match=r"characters long.*Choose a shorter"):
        image_name("c", None, name, version)


def test_packages_come_before_the_data_and_as_root() -> None:
    lines = dockerfile(BASE, {"b": "2", "a": "1"}, installs=True, constrained=True).splitlines()
    assert lines[0] == "FROM clipper/base:1"
    assert [line for line in lines if not line.startswith("ARG PIP_")][1:] == [
        "USER root",
        "COPY environment/ /opt/clipper-environment/",
        "RUN python -m pip install --no-cache-dir --disable-pip-version-check "
        "--root-user-action=ignore -r /opt/clipper-environment/requirements.txt "
        "-c /opt/clipper-environment/constraints.txt",
        "USER 10001",
        "COPY --chown=10001 model/ /model/",
        'LABEL a="1"',
        'LABEL b="2"',
    ]


def test_nothing_to_install_and_a_base_that_runs_as_root() -> None:
    text = dockerfile(BaseImage("b", "", ""), {}, installs=False, constrained=False)
    assert text == "FROM b\nCOPY model/ /model/\n"


def test_a_function_needs_the_python_that_pickled_it() -> None:
    check_python(BASE, "3.11")
    check_python(BaseImage("foreign", "", ""), "3.12")
    with pytest.raises(ClipperException, match=r"pickled by Python 3\.12.*runs Python 3\.11"):
        check_python(BASE, "3.12")


def test_context_has_the_data_whatever_it_is_linked_from(tmp_path: Path) -> None:
    outside = tmp_path / "weights"
    outside.write_bytes(b"w")
    data = tmp_path / "data"
    (data / "empty").mkdir(parents=True)
    (data / "weights").symlink_to(outside)
    (data / "weights").chmod(0o600)
    file = io.BytesIO()
    write_context(file, "FROM x\n", {"requirements.txt": "a==1\n"}, data)
    with tarfile.open(fileobj=file) as archive:
        members = {one.name: one for one in archive.getmembers()}
        assert set(members) == {
            "Dockerfile", "environment/requirements.txt", "model", "model/empty", "model/weights"
        }  # fmt: skip
        weights = archive.extractfile("model/weights")
        assert weights is not None
        assert weights.read() == b"w"
    assert members["model/weights"].mode == 0o644
    assert (members["model/weights"].uid, members["model/weights"].uname) == (0, "")


def test_a_broken_link_is_told(tmp_path: Path) -> None:
    (tmp_path / "weights").symlink_to(tmp_path / "gone")
    with pytest.raises(ClipperException, match="data cannot be read"):
        write_context(io.BytesIO(), "", {}, tmp_path)
