"""Snapshots as Prometheus text.

The format is written here and not by ``prometheus_client``: rendering happens on the event loop
that also answers predictions, and building one object per sample there costs ten times as much.
Tests read the text back with that library's parser.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import cast

from clipper.metrics.parts import split
from clipper.metrics.snapshot import FamilySnapshot, HistogramValue, Kind, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Value of the Content-Type header that goes with `render_prometheus`."""


def render_prometheus(snapshot: Snapshot) -> bytes:
    """Return the snapshot in Prometheus' text format, version 0.0.4."""
    return b"".join(render_prometheus_parts(snapshot))


def render_prometheus_parts(snapshot: Snapshot) -> Iterator[bytes]:
    """Yield the same text piece by piece, so that the event loop can have turns in between."""
    described = ""
    for part in split(snapshot):
        lines: list[str] = []
        for name, family in part["families"].items():
            if not family["exposed"]:
                continue
            if name != described:
                # Once for each family, however many parts its children are in.
                lines.append(f"# HELP {name} {_escape_help(family['help'])}")
                lines.append(f"# TYPE {name} {family['kind']}")
                described = name
            lines.extend(
                _histograms(name, family) if _is_histogram(family) else _plain(name, family)
            )
        yield "".join(f"{line}\n" for line in lines).encode()


def _is_histogram(family: FamilySnapshot) -> bool:
    return family["kind"] == Kind.HISTOGRAM


def _plain(name: str, family: FamilySnapshot) -> Iterator[str]:
    for values, value in family["children"]:
        labels = _labels(family["labels"], values)
        yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"


def _histograms(name: str, family: FamilySnapshot) -> Iterator[str]:
    bounds = [str(float(bound)) for bound in family["bounds"]] + ["+Inf"]
    for values, value in family["children"]:
        histogram = cast(HistogramValue, value)
        labels = _labels(family["labels"], values)
        start = f'{name}_bucket{{{labels},le="' if labels else f'{name}_bucket{{le="'
        count = 0
        for bound, count in zip(bounds, accumulate(histogram["counts"]), strict=True):
            yield f'{start}{bound}"}} {count}'
        suffix = f"{{{labels}}}" if labels else ""
        yield f"{name}_sum{suffix} {histogram['sum']}"
        yield f"{name}_count{suffix} {count}"


def _labels(names: list[str], values: list[str]) -> str:
    pairs = zip(names, values, strict=True)
    return ",".join(f'{name}="{_escape_value(value)}"' for name, value in pairs)


def _escape_value(text: str) -> str:
    return _escape_help(text).replace('"', '\\"')


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
