"""scikit-learn: handwritten digits, behind the deployer of its own framework."""

import json

import requests
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers import sklearn as sklearn_deployer

digits = load_digits()
train, test = slice(0, 1500), slice(1500, None)
model = LogisticRegression(max_iter=2000).fit(digits.data[train], digits.target[train])


def predict(model, inputs):
    return [str(digit) for digit in model.predict(inputs)]


clipper_conn = ClipperConnection(DockerContainerManager())
clipper_conn.start_clipper()
try:
    clipper_conn.register_application("digits", "doubles", "-1", 1000000)
    sklearn_deployer.deploy_sklearn_model(
        clipper_conn,
        name="digits-model",
        version=1,
        input_type="doubles",
        func=predict,
        sklearn_model=model,
    )
    clipper_conn.link_model_to_app("digits", "digits-model")
    r = requests.post(
        "http://%s/digits/predict" % clipper_conn.get_query_addr(),
        headers={"Content-type": "application/json"},
        data=json.dumps({"input_batch": digits.data[test].tolist()}),
        timeout=30,
    )
    answers = [int(p["output"]) for p in r.json()["batch_predictions"]]
    right = sum(a == t for a, t in zip(answers, digits.target[test]))
    print("accuracy %.3f of %d" % (right / len(answers), len(answers)))
finally:
    clipper_conn.stop_all()
