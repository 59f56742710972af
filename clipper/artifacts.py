"""Names of the files in a saved model: written by deployers and managers, read by containers."""

from __future__ import annotations

FUNCTION_FILE = "func.pkl"
"""cloudpickle of the user's prediction function."""

MODULES_DIR = "modules"
"""Optional directory that joins the import path before the function is loaded."""

SKLEARN_MODEL_FILE = "sklearn_model.joblib"
"""joblib file of the scikit-learn estimator."""

REQUIREMENTS_FILE = "requirements.txt"
"""pip requirement lines of the model's environment."""

CONSTRAINTS_FILE = "constraints.txt"
"""pip constraint lines: versions of what the requirements bring along, as installed in training."""

PYTORCH_MODEL_FILE = "pytorch_model.pkl"
"""cloudpickle of the torch module, without its weights."""

PYTORCH_WEIGHTS_FILE = "pytorch_weights.pkl"
"""``torch.save`` of the module's state dict."""

TENSORFLOW_DIR = "tfmodel"
"""SavedModel or checkpoint."""

KERAS_MODEL_STEM = "keras_model"
"""Keras file; its suffix, ``.keras`` or ``.h5``, says the format."""

KERAS_CUSTOM_OBJECTS_FILE = "keras_custom_objects.pkl"
"""cloudpickle of ``{registered name: class or function}``, for what Keras itself has not."""

XGBOOST_MODEL_FILE = "xgboost_model.ubj"
"""XGBoost's own binary JSON."""

XGBOOST_ESTIMATOR_FILE = "xgboost_estimator.pkl"
"""cloudpickle of a scikit-learn style model around it, without the booster; optional."""

LIGHTGBM_MODEL_FILE = "lightgbm_model.txt"
"""LightGBM's own text format."""

LIGHTGBM_ESTIMATOR_FILE = "lightgbm_estimator.pkl"
"""cloudpickle of a scikit-learn style model around it, without the booster; optional."""

ONNX_MODEL_FILE = "model.onnx"
"""ONNX graph."""

PYSPARK_METADATA_FILE = "metadata.json"
"""``{"model_class": "<dotted class>"}``."""

PYSPARK_MODEL_DIR = "pyspark_model_data"
"""What the Spark model's own ``save`` wrote."""

MXNET_MODEL_PREFIX = "mxnet_model"
"""Prefix of MXNet's symbol and parameter files, epoch 0."""

MXNET_METADATA_FILE = "mxnet_model_metadata.json"
"""``{"data_shapes": ...}``."""
