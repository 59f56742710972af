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
    images = [directory / f"{part}-images-idx3-ubyte" for part in ("train", "t10k")]
    labels = [directory / f"{part}-labels-idx1-ubyte" for part in ("train", "t10k")]
    if not all(path.is_file() for path in (*images, *labels)):
        return None
    train_inputs, inputs = (_read(path, _IMAGES_HEADER).reshape(-1, _PIXELS) for path in images)
    train_labels, asked_labels = (_read(path, _LABELS_HEADER) for path in labels)
    return Split(train_inputs, train_labels, inputs, asked_labels)


def _read(path: Path, header: int) -> Array:
    return np.frombuffer(path.read_bytes(), np.uint8, offset=header)
