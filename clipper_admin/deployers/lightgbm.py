"""Deploy LightGBM models."""

from clipper.deployers.lightgbm import create_endpoint, deploy_lightgbm_model

__all__ = ["create_endpoint", "deploy_lightgbm_model"]
