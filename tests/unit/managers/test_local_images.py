from __future__ import annotations

import sys
from pathlib import Path

import pytest

from clipper.errors import ClipperException
from clipper.managers.local import LocalContainerManager
from clipper.managers.local_images import (
    Bundle,
    build_bundle,
    claim_version,
    find_bundle,
    framework_of,
    remove_old_builds,
    resolve_image,
)

HERE = f"{sys.version_info.major}{sys.version_info.minor}"


@pytest.mark.parametrize(
    ("image", "framework"),
    [
        ("noop-container", "noop"),
        ("clipper/noop-container:0.5.0", "noop"),
        ("registry.example:5000/a/b/sum-container:develop", "sum"),
        ("python-closure-container", "python-closure"),
        (f"clipper/python{HERE}-closure-container:1", "python-closure"),
        ("sklearn-container", "sklearn"),
        (f"sklearn{HERE}-container:2", "sklearn"),
        ("my.models:Ranker", "my.models:Ranker"),
    ],
)
def test_stock_names_and_classes_stand_for_frameworks(image: str, framework: str) -> None:
    assert framework_of(image) == framework


@pytest.mark.parametrize("image", ["python27-closure-container:0.4", "clipper/sklearn35-container"])
def test_an_image_of_another_python_is_refused(image: str) -> None:
    with pytest.raises(ClipperException, match=r"is for Python [23]\.[57].*this interpreter"):
        framework_of(image)


@pytest.mark.parametrize("image", ["", "ubuntu", "ubuntu:22.04", "x-container", "noop", "a/b:C"])
def test_an_unknown_image_lists_the_known(image: str) -> None:
    with pytest.raises(ClipperException, match=r"Unknown image.*noop-container.*sklearn-container"):
        framework_of(image)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    (directory / "sub").mkdir(parents=True)
    (directory / "func.pkl").write_bytes(b"one")
    (directory / "sub" / "weights").write_bytes(b"w")
    return directory


def build(bundles: Path, data: Path, image: str = "c-m:1") -> Bundle:
    return build_bundle(bundles, "m", "1", data, "noop", image, ["a==1"], None)


def test_a_bundle_is_a_copy_that_is_found_by_its_image(tmp_path: Path, data: Path) -> None:
    bundle = build(tmp_path / "bundles", data)
    (data / "func.pkl").write_bytes(b"changed")
    assert (Path(bundle.path) / "func.pkl").read_bytes() == b"one"
    assert (Path(bundle.path) / "sub" / "weights").exists()
    assert find_bundle(tmp_path / "bundles", "c", "c-m:1") == bundle
    assert (bundle.python, bundle.isolated) == (sys.executable, False)


def test_a_rebuild_replaces_and_leaves_the_old_directory(tmp_path: Path, data: Path) -> None:
    bundles = tmp_path / "bundles"
    first = build(bundles, data)
    assert build(bundles, data) == first
    (data / "func.pkl").write_bytes(b"two")
    second = build(bundles, data)
    assert second.path != first.path
    assert (Path(first.path) / "func.pkl").read_bytes() == b"one"
    assert find_bundle(bundles, "c", "c-m:1") == second
    assert {p.name for p in (bundles / "m" / "1").iterdir()} == {
        "current",
        Path(first.path).name,
        Path(second.path).name,
    }


def test_old_builds_go_unless_in_use(tmp_path: Path, data: Path) -> None:
    bundles = tmp_path / "bundles"
    builds = []
    for content in (b"one", b"two", b"three"):
        (data / "func.pkl").write_bytes(content)
        builds.append(Path(build(bundles, data).path))
    remove_old_builds(bundles, "m", "1", {builds[1]})
    assert [path.is_dir() for path in builds] == [False, True, True]
    remove_old_builds(bundles, "m", "1", set())
    assert [path.is_dir() for path in builds] == [False, False, True]
    assert find_bundle(bundles, "c", "c-m:1") is not None
    remove_old_builds(bundles, "stock", "1", set())


def test_one_client_at_a_time_deploys_a_version(tmp_path: Path) -> None:
    with claim_version(tmp_path, "m", "1"):
        with (
            pytest.raises(ClipperException, match="deploying m:1 at this moment"),
            claim_version(tmp_path, "m", "1"),
        ):
            pass
        with claim_version(tmp_path, "m", "2"):
            pass
    with claim_version(tmp_path, "m", "1"):
        pass
    with pytest.raises(ClipperException, match="model name"), claim_version(tmp_path, "../m", "1"):
        pass


@pytest.mark.parametrize(
    "image", ["c-m:2", "other-m:1", "reg/c-m:1", "c-..:1", "c-m:..", "c-:", "c-/etc:1", "", ":"]
)
def test_other_names_are_not_the_bundle(tmp_path: Path, data: Path, image: str) -> None:
    build(tmp_path / "bundles", data)
    assert find_bundle(tmp_path / "bundles", "c", image) is None


def test_deployable_are_bundles_and_stock_images_without_data(tmp_path: Path, data: Path) -> None:
    bundles, empty = tmp_path / "bundles", tmp_path / "empty"
    bundle = build(bundles, data, "reg/c-m:1")
    assert resolve_image(bundles, empty, "c", "reg/c-m:1") == bundle
    assert resolve_image(bundles, empty, "c", "clipper/sum-container:1").path == str(empty)
    with pytest.raises(ClipperException, match="build_model"):
        resolve_image(bundles, empty, "c", "python-closure-container")
    with pytest.raises(ClipperException, match="Unknown image"):
        resolve_image(bundles, empty, "c", "c-m:9")


def test_inadmissible_names_and_paths_are_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ClipperException, match="not a directory"):
        build(tmp_path / "bundles", data / "func.pkl")
    with pytest.raises(ClipperException, match="Invalid value"):
        build_bundle(tmp_path / "bundles", "../m", "1", data, "noop", "i", [], None)
    assert not (tmp_path / "m").exists()


def test_the_module_of_a_class_travels_with_the_bundle(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "ranker_of_this_test.py").write_text("class Ranker: ...")
    monkeypatch.syspath_prepend(str(source))
    bundles = tmp_path / "bundles"
    bundle = build_bundle(bundles, "m", "1", data, "ranker_of_this_test:Ranker", "i", [], None)
    assert (Path(bundle.path) / "modules" / "ranker_of_this_test.py").exists()
    with pytest.raises(ClipperException, match="cannot be imported here"):
        build_bundle(bundles, "m", "1", data, "nowhere_to_be_found:Ranker", "i", [], None)


def test_build_model_names_the_image_and_needs_no_cluster(tmp_path: Path, data: Path) -> None:
    manager = LocalContainerManager("c", state_dir=tmp_path / "state")
    assert not (tmp_path / "state").exists()
    assert manager.build_model("m", "1", str(data), "noop-container") == "c-m:1"
    image = manager.build_model("m", "1", str(data), "noop-container", "reg.example/x/")
    assert image == "reg.example/x/c-m:1"
    with pytest.raises(ClipperException, match="isolated_environments=True"):
        manager.build_model(
            "m", "2", str(data), "noop-container", pkgs_to_install=["no-such-package"]
        )


def test_the_state_directory_comes_from_the_environment(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPPER_STATE_DIR", str(tmp_path / "elsewhere"))
    LocalContainerManager("c").build_model("m", "1", str(data), "noop-container")
    assert (tmp_path / "elsewhere" / "bundles" / "m" / "1" / "current").exists()
