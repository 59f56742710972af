"""The documentation tells the truth: its code runs, its links resolve, its lists are complete."""

from __future__ import annotations

import argparse
import inspect
import itertools
import re
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from clipper.cli.app import app
from clipper.daemon import build_parser
from clipper.management import schemas
from clipper.managers.docker import DockerContainerManager
from clipper.managers.local import LocalContainerManager
from tests.architecture import docs_pages
from tests.architecture.docs_pages import REPOSITORY
from tests.architecture.docs_session import PageSession, matches

_PAGES = docs_pages.pages()
_RUNNABLE = [page for page in _PAGES if page.exists() and docs_pages.steps(page)]
_SETTINGS = REPOSITORY / "docs" / "settings.md"


def _name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.fixture
def session(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free_port_factory: Callable[..., int],
) -> Iterator[PageSession]:
    """A page's session: default ports and state directory are replaced by ones of its own."""
    state = Path(tempfile.mkdtemp(prefix="clpd", dir="/tmp"))  # short, for the sockets in it
    ports = (free_port_factory(), free_port_factory(), free_port_factory(2))
    defaults = LocalContainerManager.__init__.__defaults__
    assert defaults is not None
    assert defaults[3:6] == (1337, 1338, 7000)
    replaced = (*defaults[:3], *ports, *defaults[6:])
    monkeypatch.setattr(LocalContainerManager.__init__, "__defaults__", replaced)
    monkeypatch.setenv("CLIPPER_STATE_DIR", str(state))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as a script finds its neighbours
    opened = PageSession(request.param, tmp_path, state, ports)
    try:
        yield opened
    finally:
        opened.close()
        shutil.rmtree(state, ignore_errors=True)


@pytest.mark.local
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("session", "page"),
    [(p, p) for p in _RUNNABLE],
    ids=map(_name, _RUNNABLE),
    indirect=["session"],
)
def test_blocks_run(session: PageSession, page: Path) -> None:
    steps = docs_pages.steps(page)
    if shutil.which("curl") is None and any("$ curl" in step.text for step in steps):
        pytest.skip("this page shows curl, which is not installed")
    for step in steps:
        session.run(step)


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_links_resolve(page: Path) -> None:
    for target in docs_pages.links(page):
        if re.match(r"^[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), f"{_name(page)} links to {target}, which does not exist"
        if anchor:
            assert anchor in docs_pages.anchors(linked), f"{_name(page)}: no anchor {target}"


@pytest.mark.parametrize("page", _PAGES, ids=_name)
def test_named_files_exist(page: Path) -> None:
    for span in docs_pages.code_spans(docs_pages.prose(page)):
        if re.fullmatch(
            r"(clipper|clipper_admin|tests|docs|examples|protos|deploy)/[\w./-]+", span
        ):
            assert (REPOSITORY / span).exists(), f"{_name(page)} names {span}"


def test_every_page_is_reached_from_the_index() -> None:
    listed = {target.partition("#")[0] for target in docs_pages.links(REPOSITORY / "docs/index.md")}
    docs = REPOSITORY / "docs"
    assert {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - {"index.md"} <= listed


_EXCERPTS = [(page, *excerpt) for page in _PAGES for excerpt in docs_pages.excerpts(page)]


@pytest.mark.parametrize(
    ("page", "path", "text"), _EXCERPTS, ids=[f"{page.stem}-{path}" for page, path, _ in _EXCERPTS]
)
def test_excerpts_are_as_in_the_file(page: Path, path: str, text: str) -> None:
    source = (REPOSITORY / path).read_text(encoding="utf-8")
    depths = (textwrap.indent(text, " " * depth) for depth in (0, 4, 8))
    assert any(f"{indented}\n" in source for indented in depths), f"{_name(page)}: {path}"


def test_every_example_is_in_a_tutorial() -> None:
    shown = {path for _, path, _ in _EXCERPTS}
    scripts = (REPOSITORY / "examples").glob("*/*.py")
    told = "".join(page.read_text(encoding="utf-8") for page in _PAGES)
    assert [s for s in map(_name, scripts) if s not in shown and s not in told] == []


def _subparsers() -> dict[str, argparse.ArgumentParser]:
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("the daemon has no commands")


def _documented_options(command: str) -> dict[frozenset[str], str]:
    """Return option strings → default as the command's section of settings.md shows them."""
    text = _SETTINGS.read_text(encoding="utf-8")
    section = re.search(rf"^### `{command}`$(.*?)(?=^##)", text, re.DOTALL | re.MULTILINE)
    assert section, f"settings.md has no section {command}"
    rows = re.findall(r"^\| (`--.*?) \| (.*?) \|", section.group(1), re.MULTILINE)
    return {frozenset(docs_pages.code_spans(flags)): shown.strip("`") for flags, shown in rows}


def _shown_default(action: argparse.Action) -> str:
    if action.required:
        return "required"
    return "none" if action.default is None else str(action.default)


@pytest.mark.parametrize("command", sorted(_subparsers()))
def test_settings_lists_every_flag_with_its_default(command: str) -> None:
    actions = [a for a in _subparsers()[command]._actions if "--help" not in a.option_strings]
    options = {frozenset(action.option_strings): _shown_default(action) for action in actions}
    documented = _documented_options(command)
    if command == "query-frontend-worker":  # documented as what it adds
        documented |= _documented_options("query-frontend")
    assert documented == options


def test_settings_lists_every_environment_variable() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in (REPOSITORY / "clipper").rglob("*.py")
    )
    read = set(re.findall(r"\bCLIPPER_[A-Z_]+\b", source))
    documented = set(re.findall(r"\bCLIPPER_[A-Z_]+\b", _SETTINGS.read_text(encoding="utf-8")))
    assert documented == read


def test_the_role_of_an_operator_is_what_the_manager_needs() -> None:
    yaml = pytest.importorskip("yaml")
    rights = pytest.importorskip("clipper.managers.kubernetes.rights")
    text = (REPOSITORY / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    role = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    shown = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert shown == {what: set(verbs) for what, verbs in rights.RIGHTS.items()}


def _managers() -> list[type]:
    try:
        from clipper.managers.kubernetes import KubernetesContainerManager
    except ModuleNotFoundError:
        return [LocalContainerManager, DockerContainerManager]
    return [LocalContainerManager, DockerContainerManager, KubernetesContainerManager]


@pytest.mark.parametrize("manager", _managers())
def test_settings_lists_every_argument_of_a_manager(manager: type) -> None:
    arguments = set(inspect.signature(manager).parameters)
    spans = docs_pages.code_spans(_SETTINGS.read_text(encoding="utf-8"))
    assert arguments <= set(spans)


def test_the_page_of_the_command_line_lists_every_command() -> None:
    text = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z].*?) \| ", text, re.MULTILINE)
    documented = {_command_of(span) for row in rows for span in docs_pages.code_spans(row)}
    assert set(_commands(typer.main.get_command(app))) <= documented


def _command_of(span: str) -> str:
    """The words before the arguments, which are in capitals or brackets."""
    return " ".join(itertools.takewhile(re.compile("[a-z][a-z-]*").fullmatch, span.split()))


def _commands(group: Any, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before}{name} ")
        elif not command.hidden:
            yield before + name


@pytest.mark.parametrize("body", [schemas.AddApp, schemas.AddModel])
def test_settings_lists_every_application_and_model_setting(
    body: type[schemas.RequestBody],
) -> None:
    spans = docs_pages.code_spans(_SETTINGS.read_text(encoding="utf-8"))
    assert set(body.model_fields) <= set(spans)


def test_expected_output_may_leave_things_out() -> None:
    assert matches('{"query_id":1,"output":…}', '{"query_id":42,"output":6.5}\n')
    assert matches("", "anything")
    assert not matches('{"output":1}', '{"output":2}')
