"""Old place of the container manager's interface, its labels and its ports."""

from clipper.admin.session import ClusterAdapter
from clipper.datatypes import CONTAINERLESS_MODEL_IMAGE
from clipper.managers.base import (
    MANAGEMENT_PORT,
    METRIC_PORT,
    QUERY_PORT,
    REDIS_PORT,
    RPC_PORT,
    ContainerManager,
)
from clipper.managers.labels import create_model_container_label, parse_model_container_label

__all__ = [
    "CLIPPER_INTERNAL_FLUENTD_PORT",
    "CLIPPER_INTERNAL_MANAGEMENT_PORT",
    "CLIPPER_INTERNAL_METRIC_PORT",
    "CLIPPER_INTERNAL_QUERY_PORT",
    "CLIPPER_INTERNAL_REDIS_PORT",
    "CLIPPER_INTERNAL_RPC_PORT",
    "CONTAINERLESS_MODEL_IMAGE",
    "ClusterAdapter",
    "ContainerManager",
    "create_model_container_label",
    "parse_model_container_label",
]

CLIPPER_INTERNAL_QUERY_PORT = QUERY_PORT
CLIPPER_INTERNAL_MANAGEMENT_PORT = MANAGEMENT_PORT
CLIPPER_INTERNAL_RPC_PORT = RPC_PORT
CLIPPER_INTERNAL_METRIC_PORT = METRIC_PORT
CLIPPER_INTERNAL_REDIS_PORT = REDIS_PORT
CLIPPER_INTERNAL_FLUENTD_PORT = 24224
