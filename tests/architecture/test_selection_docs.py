"""docs/selection.md lists every policy and every option with its default."""

from __future__ import annotations

import json
import re

from clipper.selection.catalog import describe_policies
from tests.architecture.docs_pages import REPOSITORY

_PAGE = (REPOSITORY / "docs" / "selection.md").read_text(encoding="utf-8")


def _section(policy: str) -> str:
    found = re.search(rf"^### `{policy}`$(.*?)(?=^##)", _PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"selection.md has no section {policy}"
    return found.group(1)


def test_every_policy_is_in_the_overview() -> None:
    overview = _PAGE.partition("## Which one")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([\w-]+)` \|", overview, re.MULTILINE))

    assert {description.name for description in describe_policies()} <= listed


def test_every_option_is_listed_with_its_default() -> None:
    for description in describe_policies():
        rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \|", _section(description.name), re.MULTILINE)
        expected = [(name, json.dumps(o["default"])) for name, o in description.options.items()]
        assert rows == expected, description.name
