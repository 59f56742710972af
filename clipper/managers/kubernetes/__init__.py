"""Clipper on Kubernetes. Needs more packages: ``pip install clipper-serving[kubernetes]``."""

from clipper.managers.kubernetes.manager import KubernetesContainerManager

__all__ = ["KubernetesContainerManager"]
