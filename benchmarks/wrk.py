"""Closed loops through ``wrk``: C, one thread, little processor time beside what it measures.

``wrk`` counts statuses above 399 by itself. Defaults keep status 200, and to see them a Lua
function has to look at every answer, for which wrk builds tables of its headers; `LoadSpec.inspect`
asks for that, and it costs wrk one or two microseconds for each answer. Latencies are wrk's: it
adds samples behind each stall for the requests that a stalled connection would have sent (its
correction for coordinated omission).
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.recorder import Summary
from benchmarks.spec import Inputs, LoadSpec
from benchmarks.wire import DIGITS, RequestTemplate

_MARK = "clipper-bench "

_SAME = """
wrk.method, wrk.body = "POST", {body}
wrk.headers["Content-Type"] = "application/json"
"""
_DISTINCT = """
local number, before, after = {first}, {before}, {after}
local format = string.format
request = function()
  number = number + 1
  return before .. format("%0{digits}.0f", number) .. after
end
"""
_INSPECT = """
defaults, refused = 0, 0
local find = string.find
response = function(status, headers, body)
  if headers["x-clipper-default"] or find(body, '"default":true', 1, true) then
    defaults = defaults + 1
    if status > 399 then refused = refused + 1 end
  end
end
local threads = {{}}
setup = function(thread) table.insert(threads, thread) end
"""
_DONE = """
done = function(summary, latency, requests)
  local within, samples = 0, 0
  for i = 1, #latency do
    local value, count = latency(i)
    samples = samples + count
    if value <= {slo_us} then within = within + count end
  end
  local defaults, refused = {defaults}, {refused}
  local e = summary.errors
  local broken = e.connect + e.read + e.write + e.timeout
  io.write(string.format(
    '{mark}{{"requests":%d,"duration_us":%d,"failed":%d,"broken":%d,"defaults":%d,' ..
    '"within":%d,"samples":%d,"mean":%.1f,"p50":%d,"p95":%d,"p99":%d,"max":%d}}\\n',
    summary.requests, summary.duration, e.status - refused, broken,
    defaults, within, samples, latency.mean, latency:percentile(50), latency:percentile(95),
    latency:percentile(99), latency.max))
end
"""


def can_do(spec: LoadSpec) -> bool:
    """Return whether ``wrk`` is installed and can do this run."""
    plain = spec.inputs in (Inputs.SAME, Inputs.DISTINCT) and not spec.verify
    return plain and spec.use_wrk and shutil.which("wrk") is not None


def script(spec: LoadSpec) -> str:
    """Return the Lua script of a run."""
    template = RequestTemplate(f"{spec.host}:{spec.port}", spec.path, spec.values, spec.body)
    if spec.inputs == Inputs.SAME:
        body = template.same.partition(b"\r\n\r\n")[2]
        text = _SAME.format(body=_lua_string(body))
    else:
        text = _DISTINCT.format(
            first=spec.first_number,
            before=_lua_string(template.before),
            after=_lua_string(template.after),
            digits=DIGITS,
        )
    if spec.inspect:
        text += _INSPECT.format()
    defaults, refused = (
        f'threads[1]:get("{name}")' if spec.inspect else "0" for name in ("defaults", "refused")
    )
    slo_us = round(spec.slo_s * 1e6)
    return text + _DONE.format(slo_us=slo_us, defaults=defaults, refused=refused, mark=_MARK)


def closed_loop(spec: LoadSpec) -> Summary:
    """Do one run; the duration is rounded up to whole seconds, which is all that wrk takes.

    Raises:
        RuntimeError: wrk failed; the text is its own.
    """
    seconds = max(1, math.ceil(spec.duration_s))
    with tempfile.TemporaryDirectory(prefix="clipper-bench-") as directory:
        path = Path(directory) / "load.lua"
        path.write_text(script(spec), encoding="utf-8")
        url = f"http://{spec.host}:{spec.port}{spec.path}"
        command = ["wrk", "-t1", f"-c{spec.connections}", f"-d{seconds}", "--latency", "-s"]
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen([*command, str(path), url], stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
    found = re.search(rf"^{_MARK}(.*)$", text, re.MULTILINE)
    if process.returncode or not found:
        raise RuntimeError(f"wrk failed on {spec.path}: {text.strip()}")
    return _summary(json.loads(found[1]), usage.ru_utime + usage.ru_stime)


def _summary(figures: dict[str, float], cpu_s: float) -> Summary:
    duration_s = figures["duration_us"] / 1e6
    requests = int(figures["requests"])
    errors = int(figures["failed"] + figures["broken"])
    timely = figures["within"] / figures["samples"] if figures["samples"] else 0.0
    right = max(0, requests - int(figures["failed"]) - int(figures["defaults"]))
    return Summary(
        requests=requests,
        throughput=requests / duration_s,
        goodput=right * timely / duration_s,
        defaults=int(figures["defaults"]),
        errors=errors,
        wrong=0,
        mean_s=figures["mean"] / 1e6,
        p50_s=figures["p50"] / 1e6,
        p95_s=figures["p95"] / 1e6,
        p99_s=figures["p99"] / 1e6,
        max_s=figures["max"] / 1e6,
        client_busy=cpu_s / duration_s,
        lag_p99_s=math.nan,
    )


def _lua_string(data: bytes) -> str:
    """Return a Lua literal of these bytes, which are ASCII."""
    return json.dumps(data.decode("ascii"))
