"""Another process, or another day: find the running cluster and ask it."""

import json

import requests

from clipper_admin import ClipperConnection, DockerContainerManager

clipper_conn = ClipperConnection(DockerContainerManager())
clipper_conn.connect()

url = "http://%s/hello-world/predict" % clipper_conn.get_query_addr()
headers = {"Content-type": "application/json"}
reply = requests.post(url, headers=headers, data=json.dumps({"input": [1.1, 2.2, 3.3]}), timeout=5)
print(reply.json())
