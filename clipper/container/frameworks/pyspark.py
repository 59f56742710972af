"""A Spark model with a pickled prediction function (spec §9.3)."""

from __future__ import annotations

import importlib
import json
import logging
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from pyspark import SparkConf
from pyspark.sql import SparkSession

from clipper.artifacts import PYSPARK_METADATA_FILE, PYSPARK_MODEL_DIR
from clipper.container.frameworks.python_closure import load_function
from clipper.container.model import Model
from clipper.rpc.codec import InputBatch

_log = logging.getLogger(__name__)

_DEFAULTS = {
    "spark.master": "local[2]",  # a batch is small: more threads cost more than they give
    "spark.app.name": "clipper-pyspark",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    # Spark talks to itself only; a name of the host that resolves elsewhere must not stop it.
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # For data sets of a few rows a shuffle into 200 partitions is seconds of nothing.
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
}
"""Used where spark-defaults.conf or PYSPARK_SUBMIT_ARGS says nothing."""


class PysparkModel(Model):
    """Calls ``f(spark, model, inputs)`` with the one SparkSession of the process."""

    _function: Callable[..., Any]
    _spark: SparkSession
    _model: Any

    def load(self, path: str) -> None:
        """Load the function, start Spark inside this process's machine, load the model.

        Raises:
            ImportError: PySpark or a package that the function or model needs is not installed.
        """
        self._function = load_function(path)
        self._spark = _start_spark()
        self._model = _load_model(self._spark, pathlib.Path(path))

    def predict_batch(self, inputs: InputBatch) -> Any:
        """Return what the function returns; the runtime checks it.

        Ends the process when Spark's Java machine has died: no later batch could succeed either,
        and whoever started this container starts it again.
        """
        try:
            return self._function(self._spark, self._model, inputs)
        except Exception:
            if _has_died(self._spark):
                _log.exception("Spark's Java machine has ended, and this container with it")
                os._exit(1)
            raise


def _start_spark() -> SparkSession:
    # Spark starts Python workers by name; they must be this interpreter with its packages.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    configuration = SparkConf()
    for key, value in _DEFAULTS.items():
        configuration.setIfMissing(key, value)
    return SparkSession.builder.config(conf=configuration).getOrCreate()


def _has_died(spark: SparkSession) -> bool:
    process = getattr(spark.sparkContext._gateway, "proc", None)
    return process is not None and process.poll() is not None


def _load_model(spark: SparkSession, directory: pathlib.Path) -> Any:
    metadata = json.loads((directory / PYSPARK_METADATA_FILE).read_text(encoding="utf-8"))
    module, _, name = metadata["model_class"].rpartition(".")
    model_class = getattr(importlib.import_module(module), name)
    place = (directory / PYSPARK_MODEL_DIR).absolute().as_uri()
    if module.startswith("pyspark.mllib."):
        return model_class.load(spark.sparkContext, place)
    return model_class.load(place)
