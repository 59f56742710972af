"""Spark inside a client program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pyspark.sql import SparkSession

OBJECTIVE_MICROS = 500_000
"""Five times that of the other frameworks: each answer is calls into a Java machine, which compiles
its code while it answers the first ones."""


@contextlib.contextmanager
def local_spark() -> Iterator[SparkSession]:
    """Yield a session that computes on this machine, quietly."""
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    try:
        yield spark
    finally:
        spark.stop()
