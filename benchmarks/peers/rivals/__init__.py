"""One file for each server: how it is started, why so, and its own form of a request."""

from __future__ import annotations

from benchmarks.peers.rival import Rival
from benchmarks.peers.rivals import bentoml, clipper, litserve, mlserver, mosec, ray, torchserve

OURS = "clipper"
ALL: dict[str, Rival] = {
    module.RIVAL.name: module.RIVAL
    for module in (clipper, mosec, torchserve, bentoml, litserve, mlserver, ray)
}
REPEATED = (OURS, "mosec", "torchserve")
"""These are near enough to each other that one run would not decide."""
