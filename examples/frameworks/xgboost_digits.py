"""XGBoost in a plain Python function, as it was served before it had a deployer of its own."""

import json

import numpy as np
import requests
import xgboost as xgb
from sklearn.datasets import load_digits

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers.python import deploy_python_closure

digits = load_digits()
train, test = slice(0, 1500), slice(1500, None)
params = {"max_depth": 4, "objective": "multi:softmax", "num_class": 10, "seed": 0}
bst = xgb.train(params, xgb.DMatrix(digits.data[train], digits.target[train]), 20)


def predict(xs):
    """The trained trees are in the closure, and xgboost is seen to be needed."""
    return bst.predict(xgb.DMatrix(np.array(xs)))


clipper_conn = ClipperConnection(DockerContainerManager())
clipper_conn.start_clipper()
try:
    clipper_conn.register_application("digits", "doubles", "-1", 1000000)
    deploy_python_closure(
        clipper_conn, name="xgboost-model", version=1, input_type="doubles", func=predict
    )
    clipper_conn.link_model_to_app("digits", "xgboost-model")
    r = requests.post(
        "http://%s/digits/predict" % clipper_conn.get_query_addr(),
        headers={"Content-type": "application/json"},
        data=json.dumps({"input_batch": digits.data[test].tolist()}),
        timeout=30,
    )
    answers = [int(float(p["output"])) for p in r.json()["batch_predictions"]]
    right = sum(a == t for a, t in zip(answers, digits.target[test]))
    print("accuracy %.3f of %d" % (right / len(answers), len(answers)))
finally:
    clipper_conn.stop_all()
