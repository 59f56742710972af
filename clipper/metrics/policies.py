"""What the model selection layer of one application measures."""

from __future__ import annotations

from clipper.metrics import families
from clipper.metrics.instruments import Counter
from clipper.metrics.registry import Family, MetricRegistry


class PolicyMetrics:
    """Measurements of one application's selection policy."""

    def __init__(self, registry: MetricRegistry, app: str) -> None:
        self._registry = registry
        self._app = app
        self.confidence = registry.histogram(families.POLICY_CONFIDENCE, app)
        self._feedback = registry.counter(families.FEEDBACK, app)
        self._loss = registry.counter(families.FEEDBACK_LOSS, app)

    def asked(self, model: str) -> None:
        """A query was sent to the model."""
        self._counter(families.POLICY_CHOICES, model).value += 1

    def late(self, model: str) -> None:
        """The reply left without it."""
        self._counter(families.POLICY_LATE, model).value += 1

    def agreed(self, model: str) -> None:
        """The reply was what the model said."""
        self._counter(families.POLICY_AGREEMENTS, model).value += 1

    def labelled(self, loss: float | None) -> None:
        """A label was stored; ``loss`` is that of the reply, None when it was the default."""
        self._feedback.value += 1
        self._loss.value += loss or 0.0

    def model_labelled(self, model: str, loss: float) -> None:
        """A label was compared with the model's output."""
        self._counter(families.MODEL_FEEDBACK, model).value += 1
        self._counter(families.MODEL_FEEDBACK_LOSS, model).value += loss

    def _counter(self, family: Family, model: str) -> Counter:
        return self._registry.counter(family, self._app, model)
