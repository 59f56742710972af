"""Deploy PyTorch modules."""

from clipper.deployers.pytorch import create_endpoint, deploy_pytorch_model

__all__ = ["create_endpoint", "deploy_pytorch_model"]
