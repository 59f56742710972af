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
