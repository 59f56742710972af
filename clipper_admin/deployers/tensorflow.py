"""Deploy TensorFlow models."""

from clipper.deployers.tensorflow import create_endpoint, deploy_tensorflow_model

__all__ = ["create_endpoint", "deploy_tensorflow_model"]
