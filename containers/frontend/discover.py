"""Tells a Prometheus in the same pod whom to scrape: ``discover.py FILE LABELS``.

Writes the cluster's annotated pods, found by their labels through the Kubernetes API, into a file
that Prometheus rereads by itself. Prometheus could ask the API as well, but not every build of it
can: Debian's is made without. Only the standard library, as for the health check beside it.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import ssl
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PERIOD_S = 5.0
TIMEOUT_S = 10.0
ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
JOBS = {"query-frontend": "query", "model": "model"}
"""Role of a pod → the job that its series belong to."""


def groups(pods: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a group of Prometheus's targets for each pod that has an address and wants it."""
    found = []
    for pod in pods:
        metadata, status = pod["metadata"], pod["status"]
        annotations = metadata.get("annotations") or {}
        address, job = status.get("podIP"), JOBS.get(metadata["labels"].get("ai.clipper.name", ""))
        wanted = annotations.get("prometheus.io/scrape") == "true"
        if not wanted or not address or job is None or status.get("phase") != "Running":
            continue
        if metadata.get("deletionTimestamp"):
            continue  # it drains; its last numbers are those that were scraped last
        labels = {"container": metadata["name"], "job": job}
        for part in ("name", "version"):
            if value := annotations.get(f"ai.clipper/model-{part}"):
                labels[f"model_{part}"] = value
        host = f"[{address}]" if ":" in address else address
        target = f"{host}:{annotations['prometheus.io/port']}"
        found.append({"targets": [target], "labels": labels})
    return sorted(found, key=lambda group: str(group["targets"]))


def running_pods(labels: str) -> list[Mapping[str, Any]]:
    """Ask the API of the cluster around this pod for the pods of this namespace."""
    host, port = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
    host = f"[{host}]" if ":" in host else host
    namespace = (ACCOUNT / "namespace").read_text().strip()
    query = urllib.parse.urlencode({"labelSelector": labels})
    request = urllib.request.Request(
        f"https://{host}:{port}/api/v1/namespaces/{namespace}/pods?{query}",
        # Read each time: it expires and is written anew.
        headers={"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}"},
    )
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=trusted) as answer:
        items: list[Mapping[str, Any]] = json.load(answer)["items"]
        return items


def write(path: pathlib.Path, content: str) -> None:
    """Replace the file as a whole: Prometheus may read at any moment."""
    part = path.with_suffix(".part")
    part.write_text(content)
    part.replace(path)


def main(arguments: Sequence[str]) -> None:
    """Keep the file up to date until SIGTERM; while the API is away it stays as it is."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    path, labels = pathlib.Path(arguments[0]), arguments[1]
    written, failed = "", ""
    while True:
        try:
            content = json.dumps(groups(running_pods(labels)), indent=2)
            if content != written:
                write(path, content)
                written = content
            failed = ""
        except (OSError, ValueError, KeyError) as error:
            if str(error) != failed:  # once, not every five seconds
                sys.stderr.write(f"The targets are not brought up to date: {error}\n")
            failed = str(error)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main(sys.argv[1:])
