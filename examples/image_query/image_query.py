"""Send a picture twice: as base64 of its bytes, and inside a JSON object that is a string."""

import base64
import json
import os
import sys

import requests

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers import python as python_deployer

HERE = os.path.dirname(os.path.abspath(__file__))
headers = {"Content-type": "application/json"}


def image_size(imgs):
    """Each input is the picture's file, as bytes."""
    import io

    import PIL.Image

    return [PIL.Image.open(io.BytesIO(img)).size for img in imgs]


def image_size_json(strings):
    """Each input is a string that holds a JSON object."""
    import base64
    import io
    import json

    import PIL.Image

    sizes = []
    for string in strings:
        request = json.loads(string)
        img = PIL.Image.open(io.BytesIO(base64.b64decode(request["image"])))
        sizes.append(json.dumps({"name": request["name"], "size": img.size}))
    return sizes


def query(addr, app, value):
    url = "http://%s/%s/predict" % (addr, app)
    r = requests.post(url, headers=headers, data=json.dumps({"input": value}), timeout=10)
    print(app, r.json()["output"], "default:", r.json()["default"])


if __name__ == "__main__":
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "picture.png")
    with open(path, "rb") as picture:
        encoded = base64.b64encode(picture.read()).decode()

    clipper_conn = ClipperConnection(DockerContainerManager())
    clipper_conn.start_clipper()
    try:
        python_deployer.create_endpoint(
            clipper_conn, "image-example", "bytes", image_size, pkgs_to_install=["pillow"]
        )
        python_deployer.create_endpoint(
            clipper_conn, "json-example", "strings", image_size_json, pkgs_to_install=["pillow"]
        )
        addr = clipper_conn.get_query_addr()
        query(addr, "image-example", encoded)
        query(addr, "json-example", json.dumps({"name": os.path.basename(path), "image": encoded}))
    finally:
        clipper_conn.stop_all()
