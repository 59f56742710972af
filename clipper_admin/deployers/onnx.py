"""Deploy ONNX models, and PyTorch modules as ONNX models."""

from clipper.deployers.onnx import (
    create_endpoint,
    create_pytorch_endpoint,
    deploy_onnx_model,
    deploy_pytorch_model,
)

__all__ = [
    "create_endpoint",
    "create_pytorch_endpoint",
    "deploy_onnx_model",
    "deploy_pytorch_model",
]
