"""The part of a Kubernetes API server that the autoscaler speaks to, behind a real HTTP server."""

from __future__ import annotations

import contextlib
import http.server
import json
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


class FakeKubernetesApi:
    """Deployments of one namespace. Every request is written down in `requests`.

    The rules that matter are the real server's: label selectors, tokens, merge patches of the scale
    only, and 409 when the patch names a resource version that is not the present one.
    """

    def __init__(self, namespace: str = "prod") -> None:
        self.namespace = namespace
        self.deployments: dict[str, Json] = {}
        self.tokens = {"first"}
        self.requests: list[tuple[str, str]] = []
        self.refusal: tuple[int, str] | None = None
        """Status and text with which everything is refused."""
        self.silent = threading.Event()
        """While set, requests are taken and not answered."""
        self.url = ""

    def add(
        self,
        name: str,
        *,
        replicas: int = 1,
        ready: int | None = None,
        cluster: str = "c",
        role: str = "model",
        **annotations: str,
    ) -> None:
        """Add a Deployment; annotations come without their prefix and with underscores."""
        self.deployments[name] = {
            "metadata": {
                "name": name,
                "resourceVersion": "1",
                "labels": {"ai.clipper.container.label": cluster, "ai.clipper.name": role},
                "annotations": {
                    f"ai.clipper/{key.replace('_', '-')}": value
                    for key, value in annotations.items()
                },
            },
            "spec": {"replicas": replicas},
            # The server leaves readyReplicas out when there are none.
            "status": {"readyReplicas": ready} if ready != 0 else {},
        }
        if ready is None:
            self.deployments[name]["status"] = {"readyReplicas": replicas}

    def replicas(self, name: str) -> int:
        """Return how many replicas a Deployment asks for."""
        return int(self.deployments[name]["spec"]["replicas"])

    def touch(self, name: str, replicas: int | None = None) -> None:
        """Change a Deployment as somebody else would."""
        metadata = self.deployments[name]["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
        if replicas is not None:
            self.deployments[name]["spec"]["replicas"] = replicas

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, Json]:
        """Return status and body of the answer to one request."""
        path, _, query = target.partition("?")
        self.requests.append((method, path))
        if self.refusal is not None:
            return self.refusal[0], _status(*self.refusal)
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 401, _status(401, "Unauthorized")
        options = dict(urllib.parse.parse_qsl(query))
        base = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        if method == "GET" and path == base:
            return 200, {"kind": "DeploymentList", "items": self._selected(options)}
        name, _, part = path.removeprefix(base + "/").partition("/")
        if method == "PATCH" and part == "scale" and name in self.deployments:
            if headers.get("content-type") != "application/merge-patch+json":
                return 415, _status(415, "the body of the request was in an unknown format")
            return self._patch(name, json.loads(body))
        return 404, _status(404, f"{path} not found")

    def _selected(self, options: dict[str, str]) -> list[Json]:
        wanted = dict(part.split("=", 1) for part in options.get("labelSelector", "").split(","))
        return [
            item
            for item in self.deployments.values()
            if wanted.items() <= item["metadata"]["labels"].items()
        ]

    def _patch(self, name: str, patch: Json) -> tuple[int, Json]:
        named = patch.get("metadata", {}).get("resourceVersion")
        if named not in (None, self.deployments[name]["metadata"]["resourceVersion"]):
            return 409, _status(409, "the object has been modified")
        self.touch(name, patch["spec"]["replicas"])
        return 200, {"kind": "Scale", "spec": patch["spec"]}

    @contextlib.contextmanager
    def serving(self, tls: ssl.SSLContext | None = None) -> Iterator[None]:
        """Serve on a free port of 127.0.0.1; `url` says where."""
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if api.silent.is_set():
                    stopped.wait()
                    return
                status, answer = api.answer(self.command, self.path, self.headers, body)
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_PATCH = _answer  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                pass

        stopped = threading.Event()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            server.shutdown()
            thread.join()
            server.server_close()


def _status(code: int, message: str) -> Json:
    return {"kind": "Status", "status": "Failure", "code": code, "message": message}
