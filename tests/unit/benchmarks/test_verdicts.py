"""Verdicts across results, memory over time, metrics of a cluster."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from benchmarks import everything
from benchmarks.cluster import sum_of
from benchmarks.recorder import write_json
from benchmarks.verdict import at_least, not_measured

EXPOSITION = """\
# HELP clipper_batch_size Queries in an answered batch
clipper_batch_size_sum{model="a",version="1"} 10
clipper_batch_size_sum{model="a",version="2"} 5
clipper_batch_size_sum{model="ab",version="1"} 1000
clipper_batch_size_sum_of_something{model="a"} 7
clipper_cache_bytes 42.5
"""


def test_samples_of_a_metric_are_summed_by_the_labels_that_were_named() -> None:
    assert sum_of(EXPOSITION, "clipper_batch_size_sum", {"model": "a"}) == 15
    assert sum_of(EXPOSITION, "clipper_batch_size_sum", {"model": "a", "version": "2"}) == 5
    assert sum_of(EXPOSITION, "clipper_cache_bytes", {}) == 42.5
    assert sum_of(EXPOSITION, "clipper_nothing", {}) == 0


def test_all_verdicts_of_a_directory_are_found_with_the_name_of_their_result(
    tmp_path: Path,
) -> None:
    claims = [at_least("fast", 2.0, 1.0, "note"), not_measured("open", ">= 1", "why")]
    saved = [dataclasses.asdict(claim) for claim in claims]
    write_json(tmp_path / "e01.json", {"verdicts": saved})
    write_json(tmp_path / "deep" / "e02.json", {"verdicts": saved[:1]})
    write_json(tmp_path / "other.json", [1, 2])
    found = everything.verdicts_in(tmp_path)
    assert sorted(verdict.name for verdict in found) == ["e01: fast", "e01: open", "e02: fast"]
    by_name = {verdict.name: verdict for verdict in found}
    assert (by_name["e01: fast"].measured, by_name["e01: fast"].holds) == (2.0, True)
    assert math.isnan(by_name["e01: open"].measured)
    assert by_name["e01: open"].holds is None


def test_a_soak_of_no_minutes_is_left_out(tmp_path: Path) -> None:
    names = [command[0] for command in everything.parts(tmp_path, 0)]
    assert "benchmarks.soak" not in names
    assert "benchmarks.ladder" in names
    assert everything.parts(tmp_path, 2)[-1][-2:] == ["--minutes", "2"]
