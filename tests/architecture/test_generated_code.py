from __future__ import annotations

import pathlib

import pytest

import clipper.rpc.pb


def test_committed_stubs_are_what_the_proto_says(tmp_path: pathlib.Path) -> None:
    """Fails after a change of `protos/` without ``python -m clipper.rpc.generate``."""
    pytest.importorskip("grpc_tools")
    from clipper.rpc.generate import generate

    committed = pathlib.Path(str(clipper.rpc.pb.__file__)).parent
    fresh = generate(tmp_path)
    assert {path.name for path in fresh} == {p.name for p in committed.glob("*_pb2*.py*")}
    for path in fresh:
        assert path.read_bytes() == (committed / path.name).read_bytes(), path.name
