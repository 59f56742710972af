"""Deploy MXNet models."""

from clipper.deployers.mxnet import create_endpoint, deploy_mxnet_model

__all__ = ["create_endpoint", "deploy_mxnet_model"]
