"""The stages fit the components that they time: nothing else notices when one has changed."""

from __future__ import annotations

import uvloop

from benchmarks import stages


def test_every_stage_of_a_query_is_timed() -> None:
    times = uvloop.run(stages.predict_stages(2, 8, 0.01))
    times |= uvloop.run(stages.http_stages(2, 8, 0.01))
    times |= stages.cache_stages(8, 0.01)

    assert len(times) == 16
    assert all(repetitions and min(repetitions) > 0 for repetitions in times.values())
