"""Reads the documentation as programs: fenced blocks, links, and directives for the tests.

Directives are HTML comments, so that readers do not see them::

    <!-- docs-test: cluster -->      start a cluster (default ports) before the next block
    <!-- docs-test: setup           run these Python lines at this point
    ...
    -->
    <!-- docs-test: file NAME -->    write the next block to NAME instead of running it
    <!-- docs-test: skip REASON -->  do not run the next block
    <!-- docs-test: from PATH -->    the next block is part of a file that another test runs
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RUN = ("python", "console")

_FENCE = re.compile(r"^```(\w*)\s*$")
_DIRECTIVE = re.compile(r"<!-- docs-test: (.*?)(?:\s*-->)?$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.*)$")
_CODE_SPAN = re.compile(r"`([^`\n]+)`")


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing to do for a page: ``python``, ``console``, ``cluster`` or ``file``."""

    kind: str
    line: int
    text: str
    name: str = ""
    """For ``file``: where the text goes."""


def pages() -> list[Path]:
    """Return every page that users or contributors read."""
    extra = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md"]
    return [*extra, *sorted((REPOSITORY / "docs").rglob("*.md"))]


def steps(page: Path) -> list[Step]:
    """Return what there is to run in a page, in order."""
    found: list[Step] = []
    directive = ""
    for kind, line, text in _parts(page.read_text(encoding="utf-8").splitlines()):
        if kind == "directive":
            if text == "cluster":
                found.append(Step("cluster", line, ""))
            else:
                directive = text
        elif kind == "setup":
            found.append(Step("python", line, text))
        else:
            word, _, name = directive.partition(" ")
            if word == "file":
                found.append(Step("file", line, text, name))
            elif word not in ("skip", "from") and kind in RUN:
                found.append(Step(kind, line, text))
            directive = ""
    return found


def excerpts(page: Path) -> list[tuple[str, str]]:
    """Return (path, text) of every block that is part of a file."""
    found, path = [], ""
    for kind, _, text in _parts(page.read_text(encoding="utf-8").splitlines()):
        if kind == "directive":
            path = text.removeprefix("from ") if text.startswith("from ") else ""
        elif path:
            found.append((path, text))
            path = ""
    return found


def _parts(lines: list[str]) -> Iterator[tuple[str, int, str]]:
    """Yield (language or ``directive`` or ``setup``, number of the line before the text, text)."""
    numbers = iter(range(len(lines)))
    for number in numbers:
        fence = _FENCE.match(lines[number])
        directive = _DIRECTIVE.match(lines[number])
        if fence:
            yield fence.group(1) or "text", number + 1, _until("```", lines, numbers)
        elif directive and directive.group(1) == "setup":
            yield "setup", number + 1, _until("-->", lines, numbers)
        elif directive:
            yield "directive", number + 1, directive.group(1)


def _until(end: str, lines: list[str], numbers: Iterator[int]) -> str:
    taken = []
    for number in numbers:
        if lines[number] == end:
            return "\n".join(taken)
        taken.append(lines[number])
    raise AssertionError(f"a block has no closing {end}")


def commands(text: str) -> list[tuple[str, str]]:
    r"""Return (command, expected output) pairs of a console block; ``\`` continues a command."""
    found: list[tuple[list[str], list[str]]] = []
    continued = False
    for line in text.splitlines():
        if continued:
            found[-1][0].append(line)
        elif line.startswith("$ "):
            found.append(([line[2:]], []))
        else:
            assert found, f"output before the first command: {line}"
            found[-1][1].append(line)
        continued = line.endswith("\\") and (continued or line.startswith("$ "))
    return [("\n".join(command), "\n".join(output)) for command, output in found]


def prose(page: Path) -> str:
    """Return the page without its fenced blocks."""
    kept, fenced = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced:
            kept.append(line)
    return "\n".join(kept)


def links(page: Path) -> list[str]:
    """Return the targets of the page's links."""
    return _LINK.findall(prose(page))


def code_spans(text: str) -> list[str]:
    """Return the texts between single backticks."""
    return _CODE_SPAN.findall(text)


def anchors(page: Path) -> set[str]:
    """Return the anchors that the page's headings give."""
    found = set()
    for line in prose(page).splitlines():
        heading = _HEADING.match(line)
        if heading:
            text = re.sub(r"[^\w\- ]", "", heading.group(1).lower())
            found.add(text.replace(" ", "-"))
    return found
