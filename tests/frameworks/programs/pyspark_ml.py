"""F8: a model of pyspark.ml, the API on data frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.linalg import Vectors

from clipper_admin.deployers.pyspark import create_endpoint, deploy_pyspark_model
from tests.frameworks.programs.spark import OBJECTIVE_MICROS, local_spark
from tests.frameworks.programs.support import Client, striped_images

CLASSES = 3


def vector(one: Any) -> Any:
    return Vectors.dense(np.asarray(one, dtype=float) / 255.0)


def predict(spark: Any, model: Any, inputs: Any) -> list[str]:
    return [str(int(model.predict(vector(one)))) for one in inputs]


def predict_frame(spark: Any, model: Any, inputs: Any) -> list[str]:
    frame = spark.createDataFrame(
        [(i, vector(one)) for i, one in enumerate(inputs)], ["id", "features"]
    )
    rows = model.transform(frame).select("id", "prediction").collect()
    return [str(int(row.prediction)) for row in sorted(rows, key=lambda row: row.id)]


def main() -> None:
    client = Client()
    images, labels = striped_images(300, CLASSES)
    points, truth = striped_images(100, CLASSES, seed=1)
    with local_spark() as spark:
        frame = spark.createDataFrame(
            [(float(y), vector(x)) for x, y in zip(images, labels, strict=True)],
            ["label", "features"],
        )
        model = LogisticRegression(maxIter=10, regParam=0.01).fit(frame)
        expected = predict(spark, model, points)
        client.register("sparkml-app", "integers", OBJECTIVE_MICROS)
        client.ask_unlinked("sparkml-app", points[0])
        deploy_pyspark_model(
            client.connection, "sparkml-model", 1, "integers", predict, model, spark.sparkContext
        )
        client.connection.link_model_to_app("sparkml-app", "sparkml-model")
        client.probe("v1", "sparkml-app", points, expected, truth)
        client.connection.unlink_model_from_app("sparkml-app", "sparkml-model")
        client.connection.stop_models(["sparkml-model"])
        create_endpoint(
            client.connection, "easy-register-app-model", "integers", predict_frame, model, spark,
            slo_micros=10_000_000,
        )  # fmt: skip
        client.probe("endpoint", "easy-register-app-model", points, expected, truth)
    client.finish()


if __name__ == "__main__":
    main()
