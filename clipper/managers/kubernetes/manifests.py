"""Objects as one YAML stream, as ``kubectl apply -f -`` reads it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml


def stream(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return the objects in their order, each with its keys as they are."""
    plain: str = yaml.dump_all(
        [dict(one) for one in objects],
        Dumper=_Plain,
        sort_keys=False,
        allow_unicode=True,
        width=100,
    )
    return plain


class _Plain(yaml.SafeDumper):
    """Writes an object again where it occurs again: not every reader of YAML knows aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
