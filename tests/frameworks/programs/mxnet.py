"""F4: a Module bound to batches of one, and a Gluon block."""

from __future__ import annotations

from typing import Any

import mxnet as mx
import numpy as np

from clipper_admin.deployers.mxnet import create_endpoint, deploy_mxnet_model
from tests.frameworks.programs.support import Client, striped_images

CLASSES = 4
PIXELS = 785


def train(images: Any, labels: Any) -> Any:
    iterator = mx.io.NDArrayIter(images / 255.0, labels, batch_size=50, shuffle=True)
    data = mx.symbol.Variable("data")
    layer = mx.symbol.FullyConnected(data, num_hidden=CLASSES)
    module = mx.mod.Module(mx.symbol.SoftmaxOutput(layer, name="softmax"))
    module.fit(iterator, num_epoch=5, optimizer="adam")
    return module


def train_gluon(images: Any, labels: Any) -> Any:
    net = mx.gluon.nn.Dense(CLASSES)
    net.initialize()
    net.hybridize()
    trainer = mx.gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.02})
    loss_of = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    x, y = mx.nd.array(images / 255.0), mx.nd.array(labels)
    for _ in range(60):
        with mx.autograd.record():
            loss = loss_of(net(x), y)
        loss.backward()
        trainer.step(len(images))
    return net


def predict(module: Any, inputs: Any) -> list[str]:
    answers = []
    for one in inputs:
        pixels = mx.nd.array(np.array([one]) / 255.0)
        module.forward(mx.io.DataBatch([pixels]), is_train=False)
        answers.append(str(int(module.get_outputs()[0].asnumpy().argmax())))
    return answers


def main() -> None:
    client = Client()
    mx.random.seed(7)
    images, labels = striped_images(600, CLASSES, PIXELS)
    points, truth = striped_images(100, CLASSES, PIXELS, seed=1)
    module, net = train(images, labels), train_gluon(images, labels)
    local = mx.mod.Module(module.symbol)
    local.bind([("data", (1, PIXELS))], for_training=False)
    local.set_params(*module.get_params())

    client.register("mxnet-app", "integers")
    client.ask_unlinked("mxnet-app", points[0])
    shapes = [mx.io.DataDesc("data", (1, PIXELS))]
    deploy_mxnet_model(
        client.connection, "mxnet-model", 1, "integers", predict, module, shapes, batch_size=1
    )
    client.connection.link_model_to_app("mxnet-app", "mxnet-model")
    expected = predict(local, points)
    client.probe("v1", "mxnet-app", points, expected, truth)
    deploy_mxnet_model(
        client.connection, "mxnet-model", 2, "integers", predict, net, shapes, batch_size=1
    )
    of_net = net(mx.nd.array(points / 255.0)).asnumpy().argmax(axis=1)
    client.probe("v2", "mxnet-app", points, of_net, truth)
    create_endpoint(
        client.connection, "easy-register-app-model", "integers", predict, module, shapes,
        batch_size=1,
    )  # fmt: skip
    client.probe("endpoint", "easy-register-app-model", points, expected, truth)
    client.finish()


if __name__ == "__main__":
    main()
