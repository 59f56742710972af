"""Old place of the exceptions."""

from clipper.errors import ClipperException, UnconnectedException

__all__ = ["ClipperException", "UnconnectedException"]
