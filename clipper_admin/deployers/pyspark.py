"""Deploy PySpark models."""

from clipper.deployers.pyspark import create_endpoint, deploy_pyspark_model

__all__ = ["create_endpoint", "deploy_pyspark_model"]
