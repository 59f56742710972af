"""Which packages a function and a model need, and which files of the user's."""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clipper.deployers.distributions import Providers, Source, closure_of, public_version, source_of
from clipper.deployers.environment import Environment, find_environment
from clipper.deployers.local_sources import save_local_sources
from clipper.deployers.used_modules import imports_of_source, used_modules


def installed(name: str) -> str:
    return f"{name}=={public_version(importlib.metadata.version(name))}"


def requirements_of(*objects: Any) -> tuple[str, ...]:
    return find_environment(used_modules(objects)).requirements


def normalised(xs: Any) -> Any:
    return [np.linalg.norm(x) for x in xs]


def imports_a_submodule(xs: Any) -> Any:
    import scipy.special as functions

    return functions.expit(xs)


def imports_from(xs: Any) -> Any:
    from sklearn import preprocessing

    def inner() -> Any:
        from joblib import hash as joblib_hash

        return joblib_hash(xs)

    return preprocessing.normalize(xs), [inner() for _ in xs]


def mentions_names_only(xs: Any) -> Any:
    requests = "docker"  # a module of each name is imported here
    return [requests, "numpy.linalg", xs.packaging]


def uses_google_protobuf(xs: Any) -> Any:
    from google.protobuf import json_format

    return [json_format.MessageToJson(x) for x in xs]


def measures(xs: Any) -> Any:
    import clipper_admin.metrics as metrics

    metrics.report_metric("count", len(xs))
    return xs


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (normalised, ["numpy"]),
        (imports_a_submodule, ["scipy"]),
        (imports_from, ["joblib", "scikit-learn"]),
        (mentions_names_only, []),
        (uses_google_protobuf, ["protobuf"]),
        (measures, []),
        (lambda xs: xs, []),
    ],
)
def test_requirements_are_what_the_function_uses(
    function: Callable[..., Any], names: list[str]
) -> None:
    assert requirements_of(function) == tuple(installed(name) for name in names)


def test_requirements_of_a_model_are_found_in_its_pickle() -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])
    found = find_environment(used_modules([model]))
    assert found.requirements == (installed("numpy"), installed("scikit-learn"))
    assert installed("scipy") in found.constraints
    assert installed("threadpoolctl") in found.constraints
    assert not any(
        line.startswith(("numpy", "scikit-learn", "pytest")) for line in found.constraints
    )


def test_modules_of_the_container_count_and_absent_ones_do_not() -> None:
    found = find_environment(used_modules([]), ["joblib", "no_such_module"])
    assert found.requirements == (installed("joblib"),)


def test_an_import_that_is_not_installed_here_is_named() -> None:
    def predict(xs: Any) -> Any:
        import json

        import no_such_package.part

        return json.dumps(no_such_package.part.f(xs))

    found = find_environment(used_modules([predict]))
    assert found.requirements == ()
    assert len(found.problems) == 1
    assert "imports no_such_package, which is not installed here" in found.problems[0]
    assert "pkgs_to_install" in found.problems[0]


def test_the_line_for_the_user_and_the_files(tmp_path: pathlib.Path) -> None:
    environment = Environment(("a==1", "b==2"), ("c==3",), ())
    assert environment.describe("m:1") == "the image of m:1 gets a==1, b==2"
    environment.save(tmp_path)
    assert (tmp_path / "requirements.txt").read_text() == "a==1\nb==2\n"
    assert (tmp_path / "constraints.txt").read_text() == "c==3\n"
    assert "no packages" in Environment((), (), ()).describe("m:1")


def test_versions_lose_their_local_label() -> None:
    assert public_version("2.13.0+cpu") == "2.13.0"
    assert public_version("1.0rc1.post2") == "1.0rc1.post2"
    assert public_version("what-is-this") == "what-is-this"


class Site:
    """A directory of installed packages, made by hand."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def install(
        self,
        name: str,
        version: str,
        files: dict[str, str],
        requires: tuple[str, ...] = (),
        direct_url: dict[str, Any] | None = None,
    ) -> None:
        info = self.path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {one}" for one in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        if direct_url is not None:
            (info / "direct_url.json").write_text(json.dumps(direct_url))
        for file, text in files.items():
            path = self.path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@pytest.fixture
def site(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    directory = tmp_path / "site-packages"
    directory.mkdir()
    monkeypatch.syspath_prepend(str(directory))
    return Site(directory)


def test_a_namespace_that_several_share_brings_only_the_one_that_is_used(site: Site) -> None:
    site.install("cloud-storage", "1.0", {"nspace/cloud/storage/__init__.py": ""})
    site.install("cloud-tables", "2.0", {"nspace/cloud/tables.py": ""})
    site.install("auth", "3.0", {"nspace/auth/__init__.py": ""})
    site.install("twin", "1.0", {"twin.py": ""})
    site.install("twin-headless", "1.0", {"twin.py": ""})
    providers = Providers()
    assert providers.provider("nspace.cloud.storage") == "cloud-storage"
    assert providers.provider("nspace.cloud.tables.Table") == "cloud-tables"
    assert providers.provider("nspace.auth") == "auth"
    assert providers.provider("nspace") is None
    assert providers.provider("nspace.cloud") is None
    assert providers.provider("twin") == "twin"


def test_constraints_are_all_that_is_brought_along(site: Site) -> None:
    site.install(
        "top", "1.0", {"top.py": ""},
        ("Middle[fast]>=1", "windows-only; sys_platform == 'nowhere'", "extra-only; extra == 'x'"),
    )  # fmt: skip
    site.install(
        "middle", "2.0+local", {"middle.py": ""},
        ("bottom", "top", "quick; extra == 'fast'", "slow; extra == 'slow'", "absent>3", "bad["),
    )  # fmt: skip
    for name in ("bottom", "quick", "slow", "windows-only", "extra-only"):
        site.install(name, "5.0", {f"{name}.py": ""})
    assert closure_of(["top==1.0"]) == {"middle": "2.0", "bottom": "5.0", "quick": "5.0"}


def test_what_no_index_has_is_told(site: Site) -> None:
    directory = {"url": "file:///home/me/own", "dir_info": {}}
    site.install("own", "1.0", {"own.py": ""}, direct_url=directory)
    site.install("compiled", "1.0", {"compiled.abi3.so": ""}, direct_url=directory)
    vcs = {"vcs": "git", "commit_id": "abc", "requested_revision": "main"}
    site.install(
        "forked", "1.0", {"forked.py": ""},
        direct_url={"url": "https://example.org/forked.git", "vcs_info": vcs},
    )  # fmt: skip
    wheel = {"archive_info": {"hash": "sha256=00"}}
    site.install(
        "wheel", "1.0+here", {"wheel.py": ""},
        direct_url={"url": "file:///tmp/wheel-1.0-py3-none-any.whl", **wheel},
    )  # fmt: skip
    url = "https://example.org/linked-1.0-py3-none-any.whl"
    site.install("linked", "1.0", {"linked.py": ""}, direct_url={"url": url, **wheel})

    assert source_of("own") == Source(None)
    compiled = source_of("compiled")
    assert compiled.requirement is None
    assert "compiled.abi3.so" in str(compiled.problem)
    forked = source_of("forked")
    assert forked.requirement is None
    assert "'forked @ git+https://example.org/forked.git@abc'" in str(forked.problem)
    local = source_of("wheel")
    assert local.requirement == "wheel==1.0"
    assert "file:///tmp/wheel-1.0-py3-none-any.whl" in str(local.problem)
    assert source_of("linked").requirement == f"linked @ {url}"
    assert source_of("linked").problem is None


def test_a_package_from_a_directory_of_this_machine_travels_inside_the_pickle(site: Site) -> None:
    site.install(
        "own", "1.0", {"own_package/__init__.py": "def f(xs):\n    return xs\n"},
        direct_url={"url": "file:///home/me/own", "dir_info": {}},
    )  # fmt: skip
    try:
        function = __import__("own_package").f
        used = used_modules([function])
        assert "own_package" not in used.referenced
        assert find_environment(used).requirements == ()
    finally:
        sys.modules.pop("own_package", None)


def test_local_modules_that_are_only_imported_inside_travel_as_files(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    (source / "shop" / "deep").mkdir(parents=True)
    (source / "shop" / "__init__.py").write_text("")
    (source / "shop" / "unused.py").write_text("raise RuntimeError\n")
    (source / "shop" / "price.py").write_text("from . import tax\nfrom .deep.far import x\n")
    (source / "shop" / "tax.py").write_text("import joblib\nimport tools\n")
    (source / "shop" / "deep" / "__init__.py").write_text("")
    (source / "shop" / "deep" / "far.py").write_text("from ..tax import joblib\nx = 1\n")
    (source / "tools.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(source))

    def predict(xs: Any) -> Any:
        from shop.price import x

        return [x for _ in xs]

    model = tmp_path / "model"
    used = used_modules([predict])
    further = save_local_sources(used.imported, model)
    copied = {str(path.relative_to(model)) for path in model.rglob("*") if path.is_file()}
    assert copied == {
        "modules/shop/__init__.py",
        "modules/shop/price.py",
        "modules/shop/tax.py",
        "modules/shop/deep/__init__.py",
        "modules/shop/deep/far.py",
        "modules/tools.py",
    }
    assert {"joblib", "no_such_package", "shop.tax"} <= further
    assert "shop" not in sys.modules, "looking for the files runs none of them"


def test_imports_of_a_file(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "m.py"
    file.write_text(
        "import a.b as c\ndef f():\n    from d import e\nfrom . import g\nfrom ..h import i\n"
    )
    assert imports_of_source(file, "top.pkg") == {
        "a.b", "d", "d.e", "top.pkg", "top.pkg.g", "top.h", "top.h.i",
    }  # fmt: skip
