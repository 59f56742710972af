"""MNIST, the paper's handwritten digits, where somebody has put them: ``make mnist`` does."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np

from benchmarks.selection.experts import Array, Split

DIRECTORY_VARIABLE = "MNIST"
_DIRECTORY = ".mnist"
_IMAGES_HEADER, _LABELS_HEADER = 16, 8
_PIXELS = 28 * 28


@functools.cache
def mnist() -> Split | None:
    """Return 60,000 images of 28 x 28 to train on and 10,000 to ask about, or None without them.

    They are read from the four files that MNIST is published in, below ``$MNIST`` or ``.mnist``.
    """
    directory = Path(os.environ.get(DIRECTORY_VARIABLE) or _DIRECTORY)
    if not directory.is_dir():
        return None
    (train_inputs, train_labels), (inputs, labels) = (
        (
            _read(directory / f"{part}-images-idx3-ubyte", _IMAGES_HEADER).reshape(-1, _PIXELS),
            _read(directory / f"{part}-labels-idx1-ubyte", _LABELS_HEADER),
        )
        for part in ("train", "t10k")
    )
    return Split(train_inputs, train_labels, inputs, labels)


def _read(path: Path, header: int) -> Array:
    return np.frombuffer(path.read_bytes(), np.uint8, offset=header)
