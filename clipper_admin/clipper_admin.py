"""Old place of the connection and its constants."""

from clipper.admin.cluster import DEFAULT_PREDICTION_CACHE_SIZE_BYTES
from clipper.admin.connection import ClipperConnection

__all__ = ["DEFAULT_LABEL", "DEFAULT_PREDICTION_CACHE_SIZE_BYTES", "ClipperConnection"]

DEFAULT_LABEL: list[str] = []
