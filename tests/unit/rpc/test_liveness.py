"""Who is asked for a sign of life, and who is given up."""

from __future__ import annotations

from clipper.rpc.channel import KEEPALIVE_INTERVAL_S, KEEPALIVE_TIMEOUT_S
from clipper.rpc.liveness import LOOK_S, Liveness, Verdict


def looks(liveness: Liveness, start_s: float, end_s: float) -> list[tuple[float, Verdict]]:
    """Look as often as one should; return what was not nothing."""
    found = []
    for step in range(1, round((end_s - start_s) / LOOK_S) + 1):
        now_s = start_s + step * LOOK_S
        verdict = liveness.look(now_s)
        if verdict is not Verdict.NOTHING:
            found.append((now_s - start_s, verdict))
    return found


def test_silence_is_met_with_one_ping_and_then_with_the_end() -> None:
    ping, dead = looks(Liveness(100.0), 100.0, 102.5)

    assert ping == (KEEPALIVE_INTERVAL_S, Verdict.PING)
    assert dead == (KEEPALIVE_INTERVAL_S + KEEPALIVE_TIMEOUT_S, Verdict.DEAD)


def test_an_answer_starts_the_silence_anew() -> None:
    liveness = Liveness(0.0)
    assert looks(liveness, 0.0, 2.0) == [(1.0, Verdict.PING)]
    liveness.heard(2.0)

    assert looks(liveness, 2.0, 2.75) == []
    assert looks(liveness, 2.75, 3.0) == [(0.25, Verdict.PING)]


def test_a_look_that_comes_late_judges_nobody() -> None:
    liveness = Liveness(0.0)
    looks(liveness, 0.0, 1.0)

    assert liveness.look(60.0) is Verdict.NOTHING
    assert liveness.look(60.25) is Verdict.DEAD
