"""Deploy Keras models."""

from clipper.deployers.keras import create_endpoint, deploy_keras_model

__all__ = ["create_endpoint", "deploy_keras_model"]
