"""The head of a predict request: parsed once, then recognised by its bytes.

A client on a keep-alive connection sends the same head again and again; only the length of the
body changes it. The same bytes mean the same request, so a parsed head is kept under its bytes, and
most requests are never parsed at all. httptools does the parsing; whatever it or this module finds
unusual is left to uvicorn's own class. Both doors (design decision 5) share one `HeadCache`.
"""

from __future__ import annotations

import urllib.parse
from typing import Any, NamedTuple

import httptools

from clipper.frontend.predictions import split_path

WHOLE_BODY = "clipper.whole_body"
"""ASGI extension: `receive` gives the whole body at once, without waiting for anything."""
_MOST_HEADS = 1024
_LONGEST_HEAD_BYTES = 4096
_MOST_HEADERS = 32
"""A longer head is parsed each time: strangers must not fill the memory with theirs."""
_SIZE_DIGITS = 15
"""A Content-Length of more digits is too large, or written in a strange way."""
_UNUSUAL = frozenset(
    (b"transfer-encoding", b"expect", b"upgrade", b"content-encoding", b"http2-settings")
)


class PredictHead(NamedTuple):
    """What a predict request's head says."""

    application: str
    body_bytes: int
    scope: dict[str, Any]
    """The same for ASGI, but for what belongs to the connection; as uvicorn would say it."""


class _Reader:
    """What httptools calls while it parses."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.lengths: list[bytes] = []
        self.usual = True
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value))
        if name == b"content-length":
            self.lengths.append(value)
        elif name in _UNUSUAL or (name == b"connection" and value.lower() != b"keep-alive"):
            self.usual = False

    def on_headers_complete(self) -> None:
        self.complete = True


def read_head(head: bytes) -> PredictHead | None:
    """Return what a head says that ends with an empty line.

    Returns:
        None unless it plainly begins a ``POST /<app>/predict`` of HTTP/1.1 on a connection that
        stays open, with a body of known length.
    """
    reader = _Reader()
    parser = httptools.HttpRequestParser(reader)
    try:
        parser.feed_data(head)
        url = httptools.parse_url(reader.url) if reader.complete else None
        raw_path = (url and url.path) or b""
        path = urllib.parse.unquote(raw_path.decode("ascii"))
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnicodeDecodeError):
        return None
    plain = (
        reader.complete
        and reader.usual
        and parser.get_method() == b"POST"
        and parser.get_http_version() == "1.1"
        and len(reader.lengths) == 1
        and reader.lengths[0].isdigit()
        and len(reader.lengths[0]) <= _SIZE_DIGITS
    )
    if not plain:
        return None
    name, verb = split_path(path)
    if verb != "predict" or not name:
        return None
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": raw_path,
        "query_string": (url and url.query) or b"",
        "root_path": "",
        "headers": tuple(reader.headers),
        "extensions": {WHOLE_BODY: {}},
    }
    return PredictHead(name, int(reader.lengths[0]), scope)


class HeadCache:
    """Heads that were parsed before. Belongs to the event loop's thread."""

    def __init__(self, max_body_bytes: int) -> None:
        """Bodies of more than ``max_body_bytes`` are somebody else's to refuse."""
        self._max_body_bytes = max_body_bytes
        self._heads: dict[bytes, PredictHead] = {}

    def read(self, head: bytes) -> PredictHead | None:
        """Return what `read_head` does, mostly without parsing."""
        known = self._heads.get(head)
        return known if known is not None else self._parse(head)

    def _parse(self, head: bytes) -> PredictHead | None:
        parsed = read_head(head)
        if parsed is None or parsed.body_bytes > self._max_body_bytes:
            return None
        few = len(parsed.scope["headers"]) <= _MOST_HEADERS
        if few and len(head) <= _LONGEST_HEAD_BYTES:
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[head] = parsed
        return parsed
