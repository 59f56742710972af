"""Deploy scikit-learn estimators."""

from clipper.deployers.sklearn import create_endpoint, deploy_sklearn_model

__all__ = ["create_endpoint", "deploy_sklearn_model"]
