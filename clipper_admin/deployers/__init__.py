"""Deployers by framework."""

from clipper_admin.deployers import python, sklearn

__all__ = ["python", "sklearn"]
