"""Applications in force, and which model version serves each link.

Built from configuration snapshots. The rule of design decision 13 is here as a pure function: the
current version is what the operator wants, the serving version is what gets the queries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from clipper.datatypes import DEFAULT_POLICY, DefaultReason
from clipper.outputs import Output
from clipper.query.rendering import render_output
from clipper.selection.calibration import Calibration, Calibrator, fit
from clipper.selection.catalog import make_policy
from clipper.selection.ledger import open_book
from clipper.selection.losses import LossKind
from clipper.selection.policy import SelectionPolicy, State
from clipper.store.base import ApplicationRecord, ConfigSnapshot


class Application:
    """One registered application, ready for queries."""

    __slots__ = (
        "calibrated",
        "default",
        "links",
        "loss",
        "min_confidence",
        "name",
        "plain",
        "policy",
        "record",
        "slo_s",
    )

    def __init__(self, record: ApplicationRecord, links: tuple[str, ...]) -> None:
        self.record = record
        self.name = record.name
        self.slo_s = record.slo_s
        self.links = links
        self.policy: SelectionPolicy = make_policy(record.policy, record.policy_options)
        self.plain = record.policy == DEFAULT_POLICY
        """One model and the default output, as ever: nothing of the selection layer is needed."""
        self.loss = LossKind(record.loss)
        self.min_confidence = record.min_confidence or 0.0
        self.calibrated: Calibrator = fit(Calibration.NONE, {})
        self.default: Output = render_output(record.default_output.encode())

    def calibrate(self, state: State) -> None:
        """Take what feedback says of the policy's confidences from the application's state."""
        book = open_book(state, self.policy.name)
        self.calibrated = fit(Calibration(self.record.calibration), book)

    def explain(self, reason: DefaultReason, detail: str) -> str:
        """Return the text of ``default_explanation``."""
        return f"{reason.explanation}: {detail}" if detail else reason.explanation


def choose_serving(
    current: str | None,
    serving: str | None,
    registered: Collection[str],
    is_ready: Callable[[str], bool],
) -> str | None:
    """Return the version of one model that gets the queries (design decision 13).

    The current version once it is ready; until then the last one that served, as long as it is
    registered and has a replica; otherwise the current one all the same.
    """
    if current is None or current not in registered:
        return None
    if serving is None or serving == current or serving not in registered:
        return current
    if is_ready(current) or not is_ready(serving):
        return current
    return serving


class Applications:
    """The table of applications; replaced as a whole by `apply`."""

    def __init__(self) -> None:
        self.times_replaced = 0
        """Says whether the table, or the links in it, may differ from what was seen before."""
        self._by_name: dict[str, Application] = {}
        self._versions: dict[str, set[str]] = {}
        self._tightest_slo_s: dict[str, float] = {}

    def get(self, name: str) -> Application | None:
        """Return an application by name."""
        return self._by_name.get(name)

    def names(self) -> Collection[str]:
        """Return all names."""
        return self._by_name.keys()

    def with_policy(self) -> list[Application]:
        """Return those whose selection policy is not the default one."""
        return [application for application in self._by_name.values() if not application.plain]

    def versions_of(self, model_name: str) -> Collection[str]:
        """Return the registered versions of a model."""
        return self._versions.get(model_name, ())

    def apply(self, snapshot: ConfigSnapshot) -> None:
        """Bring the table to a snapshot."""
        table: dict[str, Application] = {}
        for name, record in snapshot.applications.items():
            links = tuple(snapshot.links.get(name, ()))
            known = self._by_name.get(name)
            if known is None or known.record != record:
                known = Application(record, links)
            known.links = links
            table[name] = known
        versions: dict[str, set[str]] = {}
        for model in snapshot.models:
            versions.setdefault(model.name, set()).add(model.version)
        tightest: dict[str, float] = {}
        for application in table.values():
            for linked in application.links:
                tightest[linked] = min(application.slo_s, tightest.get(linked, math.inf))
        self._by_name, self._versions, self._tightest_slo_s = table, versions, tightest
        self.times_replaced += 1

    def tightest_slo_s(self, model_name: str) -> float | None:
        """Return the smallest latency objective among the applications linked to a model."""
        return self._tightest_slo_s.get(model_name)
