"""Images hold every module of Clipper that what they hold imports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def copied(dockerfile: Path) -> list[Path]:
    """Return the files and directories of the package that a Dockerfile copies."""
    text = dockerfile.read_text().replace("\\\n", " ")
    copies = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY clipper/")]
    return [REPOSITORY / source for sources in copies for source in sources]


def imported(path: Path) -> Iterator[str]:
    """Yield the first name below ``clipper`` of each import in a file or directory."""
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module == "clipper":
                names = [f"clipper.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            for name in names:
                if found := re.match(r"clipper\.([a-z]\w*)", name):
                    yield found[1]


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "containers/base/Dockerfile"])
def test_what_is_imported_is_copied(dockerfile: str) -> None:
    sources = copied(REPOSITORY / dockerfile)
    held = {source.stem for source in sources}
    wanted = {name for source in sources for name in imported(source)}
    assert len(wanted) > 3
    assert wanted - held == set()
