"""Ask a sum for 200 random numbers, five times a second, until Ctrl-C. With --batch, in pairs."""

import json
import signal
import sys
import time
from datetime import datetime

import numpy as np
import requests

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers import python as python_deployer

headers = {"Content-type": "application/json"}


def feature_sum(xs):
    return [str(sum(x)) for x in xs]


def predict(addr, x, batch=False):
    url = "http://%s/simple-example/predict" % addr
    if batch:
        req_json = json.dumps({"input_batch": x})
    else:
        req_json = json.dumps({"input": list(x)})
    start = datetime.now()
    r = requests.post(url, headers=headers, data=req_json, timeout=10)
    latency = (datetime.now() - start).total_seconds() * 1000.0
    print("'%s', %f ms" % (r.text, latency), flush=True)


def signal_handler(signum, frame):
    print("Stopping Clipper...")
    clipper_conn = ClipperConnection(DockerContainerManager())
    clipper_conn.stop_all()
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal_handler)
    clipper_conn = ClipperConnection(DockerContainerManager())
    clipper_conn.start_clipper()
    python_deployer.create_endpoint(clipper_conn, "simple-example", "doubles", feature_sum)
    time.sleep(2)
    while True:
        if "--batch" in sys.argv:
            xs = [list(np.random.random(200)) for _ in range(2)]
            predict(clipper_conn.get_query_addr(), xs, batch=True)
        else:
            predict(clipper_conn.get_query_addr(), np.random.random(200))
        time.sleep(0.2)
