"""A cluster as manifests, for those who apply them themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from clipper.managers.base import ClusterOptions
from clipper.managers.kubernetes.cluster import Offers, anchor_object, cluster_objects
from clipper.managers.kubernetes.settings import KubernetesSettings


def render(
    settings: KubernetesSettings, options: ClusterOptions, offers: Offers
) -> list[dict[str, Any]]:
    """Return what `start_clipper` makes, the anchor first, but no Secret.

    Passwords do not belong into files: who applies the manifests makes the Secret that
    `store.secret_name` names. Nothing owns the objects, so that whoever applies them removes them;
    models, which the anchor owns, go with it.
    """
    objects = cluster_objects(settings, options, offers, password="")
    return [anchor_object(settings, options), *(one for one in objects if one["kind"] != "Secret")]


def to_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """Return the objects as one text of YAML documents; equal objects give equal texts."""
    return "".join(
        f"---\n{yaml.dump(one, Dumper=_Dumper, sort_keys=False, width=100)}" for one in objects
    )


class _Dumper(yaml.SafeDumper):
    """Writes lists indented, texts of several lines as blocks, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
