from __future__ import annotations

import logging
import re

from clipper.logs import LineFormatter


def test_a_record_is_one_line_with_time_level_and_process() -> None:
    record = logging.LogRecord(
        "clipper.x", logging.WARNING, __file__, 1, "bad name %r: %s", ("a", "b\nc\r"), None
    )
    line = LineFormatter("store").format(record)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING store clipper\.x: "
        r"bad name 'a': b\\nc\\r",
        line,
    )
