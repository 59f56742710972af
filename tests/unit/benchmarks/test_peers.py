"""The comparison with other servers: what it looks for, keeps, and concludes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.peers.cells import Cell, Figures, Results, plan
from benchmarks.peers.rivals import ALL, OURS
from benchmarks.peers.search import RateSearch
from benchmarks.peers.summary import entries, verdicts
from benchmarks.peers.workload import accelerator_s, largest_batch
from benchmarks.wire import SLOT, RequestTemplate

CELL = Cell("forest", "mosec", 0, "closed", 32)
FIGURES = Figures(1000.0, 0.01, 0.02, 0, 1e-4, 0.2, 4.0)


def found(search: RateSearch, sustained: float) -> tuple[float, int]:
    tries = 0
    while (rate := search.next_rate()) is not None:
        search.observe(rate, rate <= sustained)
        tries += 1
    return search.best, tries


@pytest.mark.parametrize("sustained", [900.0, 3_000.0, 5_000.0, 20_000.0])
def test_search_comes_near_from_below_in_few_tries(sustained: float) -> None:
    best, tries = found(RateSearch(4_000, 1.5, 8), sustained)
    assert 0.85 * sustained <= best <= sustained
    assert tries <= 8


def test_search_that_starts_near_needs_fewer_tries() -> None:
    best, tries = found(RateSearch(10_000, 1.12, 6), 10_500)
    assert 10_000 <= best <= 10_500
    assert tries <= 5


def test_search_that_starts_far_too_low_comes_near_all_the_same() -> None:
    best, tries = found(RateSearch(3_300, 1.12, 8), 15_000)
    assert 0.85 * 15_000 <= best <= 15_000
    assert tries <= 8


def test_search_gives_up_on_a_server_that_sustains_nothing() -> None:
    assert found(RateSearch(4_000, 1.5, 20), 0.0)[0] == 0.0


def test_rivals_take_turns_within_a_repetition() -> None:
    cells = plan(["forest"], [OURS, "mosec", "ray"], lambda rival: 1 if rival == "ray" else 2)
    turns = list(dict.fromkeys((cell.repetition, cell.rival) for cell in cells))
    assert turns == [(0, OURS), (0, "mosec"), (0, "ray"), (1, OURS), (1, "mosec")]


def test_results_outlive_the_process_and_are_dropped_only_when_asked(tmp_path: Path) -> None:
    other = dataclasses.replace(CELL, rival="ray")
    results = Results(tmp_path / "cells.jsonl")
    results.add(CELL, FIGURES)
    results.add(other, FIGURES)
    assert Results(tmp_path / "cells.jsonl").figures == {CELL: FIGURES, other: FIGURES}
    results.forget(["forest"], ["ray"])
    assert Results(tmp_path / "cells.jsonl").figures == {CELL: FIGURES}


def test_a_line_cut_short_by_a_crash_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    Results(path).add(CELL, FIGURES)
    whole = path.read_text()
    path.write_text(whole + whole[:40])
    results = Results(path)
    assert results.figures == {CELL: FIGURES}
    other = dataclasses.replace(CELL, level=8)
    results.add(other, FIGURES)
    assert Results(path).figures == {CELL: FIGURES, other: FIGURES}


def test_medians_are_compared_and_every_load_is_judged() -> None:
    rates = {OURS: (900.0, 1100.0, 5000.0), "mosec": (1000.0, 1000.0, 1000.0)}
    figures = {
        Cell("forest", rival, number, "closed", 32): dataclasses.replace(FIGURES, rate=rate)
        for rival, measured in rates.items()
        for number, rate in enumerate(measured)
    }
    table = entries(figures)
    assert table["forest", "mosec", "closed", 32].ratio == pytest.approx(1.1)
    judged = {verdict.name: verdict.holds for verdict in verdicts(table)}
    assert judged["ahead of mosec on forest at 32"] is True
    shares = [holds for name, holds in judged.items() if name.startswith("share")]
    assert shares == [None, None]  # the accelerator was not measured


def test_the_accelerator_share_counts_what_its_best_batch_could_do() -> None:
    assert (largest_batch(0.05), largest_batch(0.02)) == (440, 140)
    assert accelerator_s(440) == pytest.approx(0.024)
    ours = Cell("accelerator", OURS, 0, "open", 50)
    table = entries({ours: dataclasses.replace(FIGURES, rate=16_000.0)})
    shares = [verdict for verdict in verdicts(table) if "within 50 ms" in verdict.name]
    assert [verdict.holds for verdict in shares] == [True]
    assert shares[0].measured == pytest.approx(16_000 / (440 / 0.024))


@pytest.mark.parametrize("name", ALL)
def test_every_rival_gets_the_varying_number_in_its_own_request(name: str) -> None:
    request = ALL[name].request([float(SLOT), 2.0])
    sent = RequestTemplate("h:1", request.path, [], request.body).numbered(5).decode()
    head, _, body = sent.partition("\r\n\r\n")
    assert f"Content-Length: {len(body)}" in head
    assert "0.000000000005,2.0]" in body
    json.loads(body)
