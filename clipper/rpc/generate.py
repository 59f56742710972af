"""Regenerate `clipper/rpc/pb` from `protos/`: ``python -m clipper.rpc.generate [OUT_DIR]``.

Needs grpcio-tools (the `dev` extra). A test fails when the committed files are stale.
"""

from __future__ import annotations

import importlib.resources
import pathlib
import subprocess
import sys

_REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
_PROTO = "clipper/v1/model_container.proto"


def generate(out_dir: pathlib.Path) -> list[pathlib.Path]:
    """Write the generated modules and stubs into ``out_dir`` and return their paths."""
    google = importlib.resources.files("grpc_tools") / "_proto"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{_REPOSITORY / 'protos' / 'clipper' / 'v1'}",
        ]
        + [f"-I{google}", f"--python_out={out_dir}", f"--pyi_out={out_dir}"]
        + [f"--grpc_python_out={out_dir}", pathlib.Path(_PROTO).name],
        check=True,
    )
    service = out_dir / "model_container_pb2_grpc.py"
    text = service.read_text()
    service.write_text(
        text.replace(
            "import model_container_pb2 as", "from clipper.rpc.pb import model_container_pb2 as"
        )
    )
    return sorted(out_dir.glob("model_container_pb2*"))


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else _REPOSITORY / "clipper/rpc/pb")
    for path in generate(target):
        sys.stdout.write(f"{path}\n")
