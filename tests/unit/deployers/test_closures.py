"""Functions must load where the user's files are not."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import cloudpickle
import numpy as np
import pytest

from clipper.deployers.closures import local_modules_by_value, save_function
from clipper.errors import ClipperException


@pytest.fixture
def local_module(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module and a package of the user's, importable here only."""
    package = tmp_path / "src" / "users_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("FACTOR = 2\n")
    (package / "maths.py").write_text(
        "from users_package import FACTOR\n"
        "class Scaler:\n"
        "    def scale(self, x):\n"
        "        return FACTOR * sum(x)\n"
    )
    (tmp_path / "src" / "users_module.py").write_text(
        "from users_package.maths import Scaler\n"
        "def predict(xs):\n"
        "    return [Scaler().scale(x) for x in xs]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    yield "users_module"
    for name in ("users_module", "users_package", "users_package.maths"):
        sys.modules.pop(name, None)


def run_elsewhere(path: pathlib.Path, inputs: str) -> str:
    """Load the function in a fresh process and print what it answers."""
    code = f"import pickle; print(pickle.load(open({str(path)!r}, 'rb'))({inputs}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_users_own_modules_travel_with_the_function(
    local_module: str, tmp_path: pathlib.Path
) -> None:
    function = __import__(local_module).predict
    path = save_function(function, tmp_path)
    assert path.name == "func.pkl"
    assert run_elsewhere(path, "[[1, 2], [3]]") == "[6, 6]"


def test_closures_travel_with_what_they_capture(tmp_path: pathlib.Path) -> None:
    weights = np.array([1.0, 10.0])
    path = save_function(lambda xs: [float(weights @ x) for x in xs], tmp_path)
    assert run_elsewhere(path, "[[1, 2]]") == "[21.0]"


def test_registration_with_cloudpickle_ends_with_the_call(local_module: str) -> None:
    __import__(local_module)
    before = cloudpickle.list_registry_pickle_by_value()
    with local_modules_by_value():
        during = cloudpickle.list_registry_pickle_by_value()
    assert cloudpickle.list_registry_pickle_by_value() == before
    assert {"users_module", "users_package", "users_package.maths"} <= during - before
    assert not {name for name in during if name.split(".")[0] in ("numpy", "json", "clipper")}


def test_offending_object_is_named(tmp_path: pathlib.Path) -> None:
    lock = threading.Lock()

    def guarded(xs: list[object]) -> list[object]:
        with lock:
            return xs

    with pytest.raises(ClipperException, match=r"guarded because of lock \(_thread.lock\)"):
        save_function(guarded, tmp_path)


_GLOBAL_LOCK = threading.Lock()


def _uses_it_inside(xs: list[object]) -> list[object]:
    return [(_GLOBAL_LOCK, x) for x in xs]


def test_offending_global_of_a_comprehension_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ClipperException, match=r"because of _GLOBAL_LOCK \(_thread.lock\)"):
        save_function(_uses_it_inside, tmp_path)


def test_what_is_no_function_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ClipperException, match="it is not a function"):
        save_function("path.py", tmp_path)  # type: ignore[arg-type]
