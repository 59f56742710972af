"""F7: a pipeline of pyspark.ml over texts, asked with JSON in strings."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import HashingTF, Tokenizer

from clipper_admin.deployers.pyspark import create_endpoint, deploy_pyspark_model
from tests.frameworks.programs.spark import local_spark
from tests.frameworks.programs.support import Client

WORDS = ("spark", "hadoop", "mapreduce", "apache", "kafka", "flink", "storm", "samza")
OBJECTIVE_MICROS = 10_000_000
"""Of spec F7: a data frame's plan is made anew for every batch."""


def documents(count: int, seed: int) -> list[tuple[int, str, float]]:
    """Return number, text, and whether the text speaks of Spark."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        words = list(random.choice(WORDS[1:], 4))
        if number % 2:
            words[int(random.integers(4))] = WORDS[0]
        found.append((number, " ".join(words), float(number % 2)))
    return found


def predict(spark: Any, pipeline: Any, inputs: Any) -> list[str]:
    texts = [one.decode() if isinstance(one, bytes) else one for one in inputs]
    frame = spark.createDataFrame([tuple(json.loads(text)) for text in texts], ["id", "text"])
    rows = {row.id: row for row in pipeline.transform(frame).collect()}
    order = [json.loads(text)[0] for text in texts]
    return [
        json.dumps({"id": n, "text": rows[n].text, "prediction": rows[n].prediction}) for n in order
    ]


def same_answer(output: str, expected: Any) -> bool:
    answer = json.loads(output)
    if isinstance(expected, str):
        return bool(answer == json.loads(expected))
    return bool(answer["prediction"] == expected)


def main() -> None:
    client = Client()
    with local_spark() as spark:
        training = spark.createDataFrame(documents(200, seed=0), ["id", "text", "label"])
        stages = [
            Tokenizer(inputCol="text", outputCol="words"),
            HashingTF(inputCol="words", outputCol="features", numFeatures=256),
            LogisticRegression(maxIter=10, regParam=0.001),
        ]
        model = Pipeline(stages=stages).fit(training)
        asked = documents(50, seed=1)
        points = [json.dumps((number, text)) for number, text, _ in asked]
        truth = [label for _, _, label in asked]
        expected = predict(spark, model, points)
        client.register("pipeline-app", "strings", OBJECTIVE_MICROS)
        client.ask_unlinked("pipeline-app", points[0])
        deploy_pyspark_model(
            client.connection, "pipeline-model", 1, "strings", predict, model, spark.sparkContext
        )
        client.connection.link_model_to_app("pipeline-app", "pipeline-model")
        client.probe("v1", "pipeline-app", points, expected, truth, same_answer)
        client.connection.unlink_model_from_app("pipeline-app", "pipeline-model")
        client.connection.stop_models(["pipeline-model"])
        create_endpoint(
            client.connection, "easy-register-app-model", "strings", predict, model, spark,
            slo_micros=OBJECTIVE_MICROS,
        )  # fmt: skip
        client.probe("endpoint", "easy-register-app-model", points, expected, truth, same_answer)
    client.finish()


if __name__ == "__main__":
    main()
