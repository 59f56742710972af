"""Deployers by framework. None of them imports its framework before it is used."""

from clipper_admin.deployers import (
    keras,
    lightgbm,
    mxnet,
    onnx,
    pyspark,
    python,
    pytorch,
    sklearn,
    tensorflow,
    xgboost,
)

__all__ = [
    "keras",
    "lightgbm",
    "mxnet",
    "onnx",
    "pyspark",
    "python",
    "pytorch",
    "sklearn",
    "tensorflow",
    "xgboost",
]
