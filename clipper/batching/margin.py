"""How far a prediction is trusted when queries compete for a place in a batch. Pure."""

from __future__ import annotations

_FIRST_SHARE = 0.02
_LEAST_SHARE, _MOST_SHARE = 0.002, 1.0
_WIDER, _NARROWER = 1.25, 0.97


class Margin:
    """Time for a batch to take longer than predicted, as a share of the prediction.

    Under overload the most urgent query of every batch is one that can just be answered in time.
    If batches were planned to end at its very deadline, every other one would end after it, and
    what was computed for its first queries would be lost to others. The margin settles where about
    one such batch in eight (ln 1.25 / -ln 0.97 ≈ 7) is late for its first query.
    """

    __slots__ = ("share",)

    def __init__(self) -> None:
        self.share = _FIRST_SHARE

    def observe(self, late: bool) -> None:
        """Learn whether a batch for which queries competed was late for its most urgent one."""
        if late:
            self.share = min(_MOST_SHARE, self.share * _WIDER)
        else:
            self.share = max(_LEAST_SHARE, self.share * _NARROWER)
