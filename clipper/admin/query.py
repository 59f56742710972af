"""Predictions and feedback over HTTP: the application side, for the command line and tests."""

from __future__ import annotations

from urllib.parse import quote

from clipper.admin.http import Http, Reply


class QueryClient:
    """Talks to one query frontend. Answers are returned as they come, whatever their status."""

    def __init__(self, address: str, http: Http, timeout_s: float) -> None:
        self._address = address
        self._http = http
        self._timeout_s = timeout_s

    def predict(
        self,
        app: str,
        one_input: object,
        *,
        batch: bool = False,
        version: str | None = None,
        uid: int | str | None = None,
    ) -> Reply:
        """Ask for a prediction; with `batch` the input is a list of inputs."""
        body: dict[str, object] = {"input_batch" if batch else "input": one_input}
        if version is not None:
            body["version"] = version
        if uid is not None:
            body["uid"] = uid
        return self._post(app, "predict", body)

    def update(self, app: str, one_input: object, label: object, uid: int | str) -> Reply:
        """Send feedback: the true label of an input."""
        return self._post(app, "update", {"uid": uid, "input": one_input, "label": label})

    def update_query(self, app: str, query_id: int, label: object) -> Reply:
        """Send feedback: the true label of a query that was answered."""
        return self._post(app, "update", {"query_id": query_id, "label": label})

    def _post(self, app: str, operation: str, body: object) -> Reply:
        url = f"http://{self._address}/{quote(app, safe='')}/{operation}"
        return self._http.post(url, body, timeout_s=self._timeout_s)
