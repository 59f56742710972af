"""Experiments on the model selection layer: its own policies on real models' predictions."""
