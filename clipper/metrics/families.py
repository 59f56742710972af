"""Every metric of the query frontend, declared once; `docs/metrics.md` is this list with questions.

Base units (seconds, bytes) and the suffix ``_total`` as Prometheus wants them. Families that are
not exposed feed only the JSON form of spec §11.1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from clipper.metrics.registry import Family
from clipper.metrics.snapshot import Aggregate, Kind

LATENCY_BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075),
    *(0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""0.1 ms to 30 s, dense where objectives lie: 1 ms and 20 ms are told apart equally well."""
SLACK_BOUNDS_S = (
    *(-0.1, -0.05, -0.02, -0.01, -0.005, -0.002, -0.001, 0.0, 0.001, 0.002, 0.005, 0.0075),
    *(0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Negative slack is a query dispatched after its deadline."""
BATCH_BOUNDS = tuple(float(2**power) for power in range(13))
"""Powers of two to 4096."""

_APP = ("app",)
_MODEL = ("model", "version")

_AppFamily: Callable[..., Family] = partial(Family, labels=_APP, owner=_APP)
_ModelFamily: Callable[..., Family] = partial(Family, labels=_MODEL, owner=_MODEL)

PREDICTION_LATENCY = _AppFamily(
    "clipper_prediction_latency_seconds",
    Kind.HISTOGRAM,
    "From a predict request's complete body to its reply, defaults included",
    bounds=LATENCY_BOUNDS_S,
)
PREDICTIONS = _AppFamily(
    "clipper_predictions_total", Kind.COUNTER, "Queries answered, defaults included"
)
DEFAULT_PREDICTIONS = Family(
    "clipper_default_predictions_total",
    Kind.COUNTER,
    "Queries answered with the application's default, by reason",
    labels=("app", "reason"),
    owner=_APP,
)
SLO = _AppFamily(
    "clipper_slo_seconds",
    Kind.GAUGE,
    "The application's latency objective",
    aggregate=Aggregate.MAX,
)
LINKS = Family(
    "clipper_links",
    Kind.GAUGE,
    "Always 1; a model that the application is linked to",
    labels=("app", "model"),
    owner=_APP,
    aggregate=Aggregate.MAX,
)
PREDICTION_THROUGHPUT = _AppFamily(
    "clipper_prediction_throughput", Kind.METER, "Queries answered per second", exposed=False
)

_APP_MODEL = ("app", "model")
_ChoiceFamily: Callable[..., Family] = partial(
    Family, kind=Kind.COUNTER, labels=_APP_MODEL, owner=_APP
)

POLICY_CHOICES = _ChoiceFamily(
    "clipper_policy_choices_total",
    help="Queries that the application's selection policy asked the model",
)
POLICY_LATE = _ChoiceFamily(
    "clipper_policy_late_total",
    help="Queries whose reply left before the model that was asked had answered",
)
POLICY_AGREEMENTS = _ChoiceFamily(
    "clipper_policy_agreements_total",
    help="Queries whose reply was what the model said, shadows included",
)
POLICY_CONFIDENCE = _AppFamily(
    "clipper_policy_confidence",
    Kind.HISTOGRAM,
    "Confidence in the replies of policies that know it",
    bounds=tuple(tenth / 10 for tenth in range(1, 11)),
)
FEEDBACK = _AppFamily("clipper_feedback_total", Kind.COUNTER, "Labels that were stored")
FEEDBACK_LOSS = _AppFamily(
    "clipper_feedback_loss_total", Kind.COUNTER, "Loss of the replies that were labelled, summed"
)
MODEL_FEEDBACK = _ChoiceFamily(
    "clipper_model_feedback_total", help="Labels that the model's output could be compared with"
)
MODEL_FEEDBACK_LOSS = _ChoiceFamily(
    "clipper_model_feedback_loss_total", help="Loss of the model's labelled outputs, summed"
)
CHOICES_DROPPED = Family(
    "clipper_choices_dropped_total",
    Kind.COUNTER,
    "Records of choices that could not be kept: feedback cannot name these queries",
)

QUEUE_WAIT = _ModelFamily(
    "clipper_queue_wait_seconds",
    Kind.HISTOGRAM,
    "From a query's arrival in the model's queue to the dispatch of its batch",
    bounds=LATENCY_BOUNDS_S,
)
BATCH_WAIT = _ModelFamily(
    "clipper_batch_wait_seconds",
    Kind.HISTOGRAM,
    "How long a batch waited in the model container before it was computed",
    bounds=LATENCY_BOUNDS_S,
)
BATCH_SIZE = _ModelFamily(
    "clipper_batch_size", Kind.HISTOGRAM, "Queries in an answered batch", bounds=BATCH_BOUNDS
)
BATCH_SLOTS = _ModelFamily(
    "clipper_batch_slots_total",
    Kind.COUNTER,
    "Queries that the dispatched batches could have held: the size cap summed over batches",
)
MODEL_COMPUTE = _ModelFamily(
    "clipper_model_compute_seconds",
    Kind.HISTOGRAM,
    "How long the model computed one batch",
    bounds=LATENCY_BOUNDS_S,
)
ROUND_TRIP = _ModelFamily(
    "clipper_batch_round_trip_seconds",
    Kind.HISTOGRAM,
    "From the dispatch of a batch to its answer",
    bounds=LATENCY_BOUNDS_S,
)
MODEL_LATENCY = _ModelFamily(
    "clipper_model_prediction_latency_seconds",
    Kind.HISTOGRAM,
    "The batch round trip, counted once for each query of the batch",
    bounds=LATENCY_BOUNDS_S,
    exposed=False,
)
DEADLINE_SLACK = _ModelFamily(
    "clipper_deadline_slack_seconds",
    Kind.HISTOGRAM,
    "Time left to a query's deadline when its batch was dispatched",
    bounds=SLACK_BOUNDS_S,
)
MODEL_THROUGHPUT = _ModelFamily(
    "clipper_model_throughput", Kind.METER, "Queries in answered batches per second", exposed=False
)
MODEL_ERRORS = _ModelFamily(
    "clipper_model_errors_total", Kind.COUNTER, "Queries that the model failed on"
)
DEADLINE_MISSES = _ModelFamily(
    "clipper_deadline_misses_total",
    Kind.COUNTER,
    "Queries that were answered too late, given up for lack of time, or found no room in the queue",
)
QUEUE_LENGTH = _ModelFamily(
    "clipper_queue_length", Kind.GAUGE, "Queries waiting in the model's queue"
)
REPLICAS = Family(
    "clipper_replicas",
    Kind.GAUGE,
    "Replicas of the model version, by state",
    labels=("model", "version", "state"),
    owner=_MODEL,
    aggregate=Aggregate.MAX,
)
BATCH_SIZE_CAP = Family(
    "clipper_batch_size_cap",
    Kind.GAUGE,
    "Largest batch that the batch-size controller allows the replica",
    labels=("model", "version", "replica"),
    owner=_MODEL,
    aggregate=Aggregate.MAX,
)
CACHE_LOOKUPS = Family(
    "clipper_cache_lookups_total",
    Kind.COUNTER,
    "Cache lookups: hit, miss, or coalesced with an equal input in flight",
    labels=("model", "version", "result"),
    owner=_MODEL,
)
CACHE_BYPASSED = _ModelFamily(
    "clipper_cache_bypassed_total", Kind.COUNTER, "Queries of a model with the cache off"
)

ALL_TASKS = Family(
    "clipper_tasks",
    Kind.COUNTER,
    "Queries handed to models, by what the cache said; survives the deletion of models",
    labels=("result",),
    exposed=False,
)
ALL_THROUGHPUT = Family(
    "clipper_aggregate_throughput",
    Kind.METER,
    "Queries in answered batches of all models per second",
    exposed=False,
)
CACHE_BYTES = Family("clipper_cache_bytes", Kind.GAUGE, "Bytes held by the prediction cache")
CACHE_ENTRIES = Family("clipper_cache_entries", Kind.GAUGE, "Outputs in the prediction cache")
CACHE_EVICTIONS = Family(
    "clipper_cache_evictions_total", Kind.COUNTER, "Outputs evicted to make room for others"
)
HTTP_RESPONSES = Family(
    "clipper_http_responses_total", Kind.COUNTER, "HTTP responses by status", labels=("code",)
)
LOOP_LAG = Family(
    "clipper_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How late a frontend worker's event loop ran what was due, measured 20 times a second",
    bounds=LATENCY_BOUNDS_S,
)
CONFIG_REVISION = Family(
    "clipper_config_revision",
    Kind.GAUGE,
    "Revision of the configuration that every frontend worker has applied",
    aggregate=Aggregate.MIN,
)
STORE_UP = Family(
    "clipper_store_up",
    Kind.GAUGE,
    "1 when every frontend worker reaches the configuration store",
    aggregate=Aggregate.MIN,
)
INFO = Family(
    "clipper_info", Kind.GAUGE, "Always 1; the version", ("version",), aggregate=Aggregate.MAX
)
