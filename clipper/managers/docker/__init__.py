"""Clusters on a Docker engine."""

from __future__ import annotations

from clipper.managers.docker.manager import DockerContainerManager

__all__ = ["DockerContainerManager"]
