"""F3: a live model with a layer and a function of the user, and files of both formats."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from clipper_admin.deployers.keras import create_endpoint, deploy_keras_model
from tests.frameworks.programs.support import Client, striped_images

CLASSES = 3


class Scale(keras.layers.Layer):
    """A layer that no container has: it travels with the model."""

    def call(self, inputs: Any) -> Any:
        return keras.ops.cast(inputs, "float32") / 255.0


@keras.saving.register_keras_serializable("clipper_tests")
def bounded(values: Any) -> Any:
    """A function that no container has either."""
    return keras.ops.tanh(values)


def train(images: Any, labels: Any, first: list[Any]) -> Any:
    model = keras.Sequential([keras.Input((100,)), *first, keras.layers.Dense(CLASSES, "softmax")])
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy")
    model.fit(images, labels, epochs=15, batch_size=64, verbose=0)
    return model


def predict(model: Any, inputs: Any) -> list[str]:
    probabilities = model(np.array(inputs), training=False)
    return [json.dumps([round(float(p), 6) for p in row]) for row in probabilities]


def same_class_and_numbers(output: str, expected: Any) -> bool:
    numbers = json.loads(output)
    if isinstance(expected, str):
        return bool(np.allclose(numbers, json.loads(expected), atol=1e-4))
    return int(np.argmax(numbers)) == int(expected)


def main() -> None:
    client = Client()
    keras.utils.set_random_seed(7)
    images, labels = striped_images(600, CLASSES, pixels=100)
    points, truth = striped_images(100, CLASSES, pixels=100, seed=1)
    own = train(images, labels, [Scale(), keras.layers.Dense(8, activation=bounded)])
    plain = train(images, labels, [keras.layers.Rescaling(1 / 255)])

    client.register("keras-app", "ints")
    client.ask_unlinked("keras-app", points[0])
    with tempfile.TemporaryDirectory() as temporary:
        old, new = Path(temporary) / "plain.h5", Path(temporary) / "plain.keras"
        plain.save(old)
        plain.save(new)
        models = [(own, own), (str(old), plain), (str(new), plain)]
        for version, (given, model) in enumerate(models, 1):
            deploy_keras_model(client.connection, "keras-model", version, "ints", predict, given)
            if version == 1:
                client.connection.link_model_to_app("keras-app", "keras-model")
            client.probe(
                f"v{version}", "keras-app", points, predict(model, points), truth,
                same_class_and_numbers,
            )  # fmt: skip
            client.connection.stop_inactive_model_versions(["keras-model"])
        create_endpoint(client.connection, "easy-register-app-model", "ints", predict, str(new))
        client.probe(
            "endpoint", "easy-register-app-model", points, predict(plain, points), truth,
            same_class_and_numbers,
        )  # fmt: skip
    client.finish()


if __name__ == "__main__":
    main()
