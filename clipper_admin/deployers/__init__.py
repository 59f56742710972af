"""Deployers by framework."""

from clipper_admin.deployers import python, sklearn

__all__ = ["python", "sklearn"]

_ABSENT = ("keras", "mxnet", "onnx", "pyspark", "pytorch", "tensorflow")


def __getattr__(name: str) -> object:
    if name in _ABSENT:
        raise ImportError(
            f"The {name} deployer is not part of this version. deploy_python_closure in "
            "clipper_admin.deployers.python takes a function around a model of any framework"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
