"""Small build contexts for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import BinaryIO


def context(files: Mapping[str, str]) -> BinaryIO:
    """Return a tar file of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    buffer.seek(0)
    return buffer
