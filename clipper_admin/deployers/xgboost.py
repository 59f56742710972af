"""Deploy XGBoost models."""

from clipper.deployers.xgboost import create_endpoint, deploy_xgboost_model

__all__ = ["create_endpoint", "deploy_xgboost_model"]
