"""Who is asked for a sign of life, and who is given up."""

from __future__ import annotations

from clipper.rpc.channel import KEEPALIVE_INTERVAL_S, KEEPALIVE_TIMEOUT_S
from clipper.rpc.liveness import LOOK_S, Liveness, Verdict, look_pause_s


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


def test_connections_that_were_opened_together_are_not_asked_together() -> None:
    pauses = [look_pause_s(port) for port in range(40_000, 40_200)]
    asked = sorted(20 * pause % 0.05 for pause in pauses)
    together = max(sum(1 for other in asked if start <= other < start + 0.001) for start in asked)

    assert all(0.75 * LOOK_S <= pause <= 1.25 * LOOK_S for pause in pauses)
    assert together < 20, "200 in 50 ms, evenly, are 4 in one"
