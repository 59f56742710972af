"""Reads Prometheus' text format back: what the management frontend asks of query frontends."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families


def read_samples(
    text: str, families: Collection[str]
) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Yield (sample name, labels, value) of these families, in the order of the text.

    A sample's name is the family's, in histograms with ``_bucket``, ``_sum`` or ``_count`` after
    it. Lines of other families are not parsed: there may be thousands.

    Raises:
        ValueError: a line of these families cannot be read.
    """
    beginnings = tuple(
        f"{start}{family}{end}"
        for family in families
        for start, ends in (("# TYPE ", (" ",)), ("", ("{", " ", "_bucket", "_sum", "_count")))
        for end in ends
    )
    lines = [line for line in text.split("\n") if line.startswith(beginnings)]
    for family in text_string_to_metric_families("\n".join(lines)):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value
