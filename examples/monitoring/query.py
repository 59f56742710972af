"""Load of uneven cost on two replicas, for something to look at in Prometheus and Grafana."""

import json
import random
import signal
import sys
import time

import requests

from clipper_admin import ClipperConnection, DockerContainerManager
from clipper_admin.deployers import python as python_deployer

headers = {"Content-type": "application/json"}


def fizz_buzz(xs):
    """Takes 10, 50, 100 or 200 ms, depending on the number."""
    import time

    answers = []
    for x in xs:
        number = int(x[0])
        if number % 15 == 0:
            answer, cost_ms = "FizzBuzz", 200
        elif number % 5 == 0:
            answer, cost_ms = "Buzz", 100
        elif number % 3 == 0:
            answer, cost_ms = "Fizz", 50
        else:
            answer, cost_ms = str(number), 10
        time.sleep(cost_ms / 1000.0)
        answers.append(answer)
    return answers


def predict(addr, number):
    url = "http://%s/fizz-buzz/predict" % addr
    r = requests.post(url, headers=headers, data=json.dumps({"input": [number]}), timeout=10)
    print("%d -> %s" % (number, r.json()["output"]), flush=True)


def signal_handler(signum, frame):
    print("Stopping Clipper...")
    clipper_conn = ClipperConnection(DockerContainerManager())
    clipper_conn.stop_all()
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal_handler)
    clipper_conn = ClipperConnection(DockerContainerManager())
    clipper_conn.start_clipper()
    python_deployer.create_endpoint(
        clipper_conn,
        "fizz-buzz",
        "integers",
        fizz_buzz,
        num_replicas=2,
    )
    print("Prometheus: http://%s" % clipper_conn.cm.get_metric_addr(), flush=True)
    while True:
        predict(clipper_conn.get_query_addr(), random.randint(1, 1000))
        time.sleep(0.1)
