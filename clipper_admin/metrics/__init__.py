"""Metrics that a prediction function may add to its container's own (spec §11.4)."""

from clipper.container.user_metrics import add_metric, report_metric

__all__ = ["add_metric", "report_metric"]
