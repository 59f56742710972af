"""F6: models of pyspark.mllib, the API on RDDs."""

from __future__ import annotations

from typing import Any

import numpy as np
from pyspark.mllib.classification import LogisticRegressionWithLBFGS, SVMWithSGD
from pyspark.mllib.regression import LabeledPoint
from pyspark.mllib.tree import GradientBoostedTrees, RandomForest

from clipper_admin.deployers.pyspark import create_endpoint, deploy_pyspark_model
from tests.frameworks.programs.spark import OBJECTIVE_MICROS, local_spark
from tests.frameworks.programs.support import Client, striped_images


def predict(spark: Any, model: Any, inputs: Any) -> list[str]:
    return [str(int(model.predict(np.asarray(one, dtype=float) / 255.0))) for one in inputs]


def train(context: Any) -> list[Any]:
    images, labels = striped_images(300, 2)
    points = context.parallelize(
        [LabeledPoint(int(y), x / 255.0) for x, y in zip(images, labels, strict=True)], 2
    ).cache()
    return [
        LogisticRegressionWithLBFGS.train(points, iterations=10),
        SVMWithSGD.train(points, iterations=10),
        RandomForest.trainClassifier(points, 2, {}, numTrees=5, maxDepth=3, seed=7),
        GradientBoostedTrees.trainClassifier(points, {}, numIterations=3),
    ]


def main() -> None:
    client = Client()
    points, truth = striped_images(100, 2, seed=1)
    with local_spark() as spark:
        context = spark.sparkContext
        models = train(context)
        client.register("pyspark-app", "integers", OBJECTIVE_MICROS)
        client.ask_unlinked("pyspark-app", points[0])
        for version, model in enumerate(models, 1):
            expected = predict(spark, model, points)
            deploy_pyspark_model(
                client.connection, "pyspark-model", version, "integers", predict, model, context
            )
            if version == 1:
                client.connection.link_model_to_app("pyspark-app", "pyspark-model")
            client.probe(f"v{version}", "pyspark-app", points, expected, truth)
            client.connection.stop_inactive_model_versions(["pyspark-model"])
        create_endpoint(
            client.connection, "easy-register-app-model", "integers", predict, models[0], context
        )
        expected = predict(spark, models[0], points)
        client.probe("endpoint", "easy-register-app-model", points, expected, truth)
    client.finish()


if __name__ == "__main__":
    main()
