"""F2: a live session, a checkpoint, SavedModels of TensorFlow 1 and 2, a frozen graph."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from clipper_admin.deployers.tensorflow import create_endpoint, deploy_tensorflow_model
from tests.frameworks.programs.support import Client, striped_images

CLASSES = 4
v1 = tf.compat.v1


def train(images: Any, labels: Any) -> Any:
    """Return a session with a softmax regression."""
    graph = tf.Graph()
    with graph.as_default():
        pixels = v1.placeholder(tf.float32, [None, images.shape[1]], name="pixels")
        truth = v1.placeholder(tf.int64, [None])
        weights = v1.get_variable("weights", [images.shape[1], CLASSES])
        logits = tf.matmul(pixels / 255.0, weights)
        tf.argmax(logits, axis=1, name="predicted")
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=truth, logits=logits)
        )
        step = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        session = v1.Session(graph=graph)
        session.run(v1.global_variables_initializer())
        for _ in range(100):
            session.run(step, {pixels: images, truth: labels})
    return session


def predict(session: Any, inputs: Any) -> Any:
    return session.run("predicted:0", feed_dict={"pixels:0": inputs})


def predict_with_signature(loaded: Any, inputs: Any) -> Any:
    pixels = tf.constant(np.asarray(inputs, dtype=np.float32))
    return loaded.signatures["serving_default"](pixels=pixels)["predicted"].numpy()


def save_checkpoint(session: Any, directory: Path) -> Path:
    with session.graph.as_default():
        v1.train.Saver().save(session, str(directory / "checkpoint" / "model.ckpt"), global_step=7)
    return directory / "checkpoint"


def save_model_1(session: Any, directory: Path) -> Path:
    graph = session.graph
    with graph.as_default():
        v1.saved_model.simple_save(
            session,
            str(directory / "saved1"),
            {"pixels": graph.get_tensor_by_name("pixels:0")},
            {"predicted": graph.get_tensor_by_name("predicted:0")},
        )
    return directory / "saved1"


def save_frozen(session: Any, directory: Path) -> Path:
    graph = v1.graph_util.convert_variables_to_constants(
        session, session.graph.as_graph_def(), ["predicted"]
    )
    tf.io.write_graph(graph, str(directory), "frozen.pb", as_text=False)
    return directory / "frozen.pb"


def save_model_2(session: Any, directory: Path) -> Path:
    module = tf.Module()
    with session.graph.as_default():
        (weights,) = session.run(v1.trainable_variables())
    module.weights = tf.Variable(weights)

    @tf.function(input_signature=[tf.TensorSpec([None, 784], tf.float32, name="pixels")])
    def serve(pixels: Any) -> dict[str, Any]:
        return {"predicted": tf.argmax(tf.matmul(pixels / 255.0, module.weights), axis=1)}

    tf.saved_model.save(module, str(directory / "saved2"), signatures=serve)
    return directory / "saved2"


def main() -> None:
    client = Client()
    images, labels = striped_images(600, CLASSES)
    points, truth = striped_images(100, CLASSES, seed=1)
    session = train(images, labels)
    expected = predict(session, points)

    client.register("tf-app", "integers")
    client.ask_unlinked("tf-app", points[0])
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        models = [
            session,
            str(save_checkpoint(session, directory)),
            str(save_model_1(session, directory)),
            str(save_frozen(session, directory)),
        ]
        for version, model in enumerate(models, 1):
            deploy_tensorflow_model(
                client.connection, "tf-model", version, "integers", predict, model
            )
            if version == 1:
                client.connection.link_model_to_app("tf-app", "tf-model")
            client.probe(f"v{version}", "tf-app", points, expected, truth)
            client.connection.stop_inactive_model_versions(["tf-model"])
        create_endpoint(
            client.connection, "easy-register-app-model", "integers", predict_with_signature,
            str(save_model_2(session, directory)),
        )  # fmt: skip
        client.probe("endpoint", "easy-register-app-model", points, expected, truth)
    client.finish()


if __name__ == "__main__":
    main()
