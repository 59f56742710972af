"""LightGBM: an estimator of its scikit-learn interface and a booster."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np

from clipper_admin.deployers.lightgbm import create_endpoint, deploy_lightgbm_model
from tests.frameworks.programs.support import Client, striped_images

CLASSES = 3


def predict_class(model: Any, inputs: Any) -> Any:
    return model.predict(np.array(inputs))


def predict_probabilities(booster: Any, inputs: Any) -> Any:
    return booster.predict(np.array(inputs)).argmax(axis=1)


def main() -> None:
    client = Client()
    images, labels = striped_images(600, CLASSES)
    points, truth = striped_images(100, CLASSES, seed=1)
    model = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1).fit(images, labels)

    client.register("lightgbm-app", "integers")
    client.ask_unlinked("lightgbm-app", points[0])
    deploy_lightgbm_model(client.connection, "lightgbm-model", 1, "integers", predict_class, model)
    client.connection.link_model_to_app("lightgbm-app", "lightgbm-model")
    client.probe("v1", "lightgbm-app", points, predict_class(model, points), truth)
    deploy_lightgbm_model(
        client.connection, "lightgbm-model", 2, "integers", predict_probabilities, model.booster_
    )
    expected = predict_probabilities(model.booster_, points)
    client.probe("v2", "lightgbm-app", points, expected, truth)
    create_endpoint(client.connection, "easy-register-app-model", "integers", predict_class, model)
    client.probe("endpoint", "easy-register-app-model", points, predict_class(model, points), truth)
    client.finish()


if __name__ == "__main__":
    main()
