"""PyTorch: a small network for handwritten digits; the function around it travels along."""

import json

import requests
import torch
from sklearn.datasets import load_digits
from torch import nn

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers import pytorch as pytorch_deployer

digits = load_digits()
train, test = slice(0, 1500), slice(1500, None)

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
images = torch.tensor(digits.data[train] / 16.0, dtype=torch.float32)
labels = torch.tensor(digits.target[train])
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(100):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()


def predict(model, inputs):
    import numpy as np
    import torch

    images = torch.tensor(np.array(inputs) / 16.0, dtype=torch.float32)
    return [str(digit) for digit in model(images).argmax(dim=1).tolist()]


clipper_conn = ClipperConnection(DockerContainerManager())
clipper_conn.start_clipper()
try:
    clipper_conn.register_application("digits", "doubles", "-1", 1000000)
    pytorch_deployer.deploy_pytorch_model(
        clipper_conn,
        name="pytorch-model",
        version=1,
        input_type="doubles",
        func=predict,
        pytorch_model=model,
    )
    clipper_conn.link_model_to_app("digits", "pytorch-model")
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
